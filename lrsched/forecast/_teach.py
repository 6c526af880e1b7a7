"""What earlier runs teach about the next one."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from lrsched._core.check import Many, short
from lrsched.arguments import Positive, checked
from lrsched.forecast._law import A_LAW, Law
from lrsched.forecast._path import Array
from lrsched.forecast._prior import FREE, REFERENCE, Prior, View


@checked
def fit_prior(
    laws: Annotated[Sequence[Law], Many(A_LAW)], *, reference: Positive = REFERENCE, least: Positive = 0.25
) -> Prior:
    """The prior that earlier runs teach: what their laws have in common.

    Each law says something of the parameters, with the covariance of its fit. Centre: the mean of what they say, in
    which what a run could not show counts for little. Spread and correlation: `least` for each logarithm, and the
    covariance between the laws as far as that of the fits does not explain it. The floor of the loss stays free, and so
    does the scale of its reducible part where the beliefs of the class have no `rate`.

    Args:
        laws: one or more laws of one class, each fitted to all runs of one model.
        reference: area at which the response is compared with the slope of the loss, > 0.
        least: smallest spread, > 0: how far a new run may differ however well the old ones agree.

    Returns:
        A prior for the `fit` of that class.

    Raises:
        ValueError: `laws` is empty, or they are of different classes.

    Examples:
        >>> from lrsched.forecast import AnnealingLaw
        >>> runs = [AnnealingLaw(l0=3.0, a=20.0, alpha=alpha, c=0.1, memory=500.0) for alpha in (0.4, 0.5)]
        >>> [round(centre, 3) for centre in fit_prior(runs).centre]
        [3.0, 20.0, 0.447, 0.964, 500.0]
    """
    kind, count = type(laws[0]), len(laws)
    if any(type(law) is not kind for law in laws):
        raise ValueError(f"fit_prior(laws=...) must hold one or more laws of one class, got {short(laws)}")
    blank = Prior(*((1.0,) * len(kind.parameters),) * 2, reference=reference, rate=kind.prior.rate)
    views = [kind._view(blank, law.peak) for law in laws]
    said = np.array([view.believed(law.theta) for view, law in zip(views, laws, strict=True)])
    fits = np.array([_covariance(view, law) for view, law in zip(views, laws, strict=True)])
    free = np.arange(said.shape[1]) < (1 if blank.rate is not None else 2)
    spread = np.where(free, FREE, least)
    weights = np.linalg.inv(fits + np.diag(spread**2))
    centre = np.linalg.solve(weights.sum(axis=0), np.einsum("kij,kj->i", weights, said))
    covariance = np.diag(spread**2)
    if count > 1:
        values, vectors = np.linalg.eigh(np.cov(said[:, ~free].T) - fits[:, ~free][..., ~free].mean(axis=0))
        covariance[np.ix_(~free, ~free)] += (vectors * np.maximum(values, 0.0)) @ vectors.T
    spread = np.sqrt(np.diagonal(covariance))
    correlation = covariance / np.outer(spread, spread) if count > 1 else np.zeros(0)
    return Prior(
        tuple(np.exp(centre).tolist()),
        spread=tuple(spread.tolist()),
        reference=reference,
        rate=blank.rate,
        correlation=tuple(correlation.ravel().tolist()),
    )


def _covariance(view: View, law: Law) -> Array:
    """Return the covariance `(p, p)` of what a law says of the logarithms that a prior is about."""
    size, slope = law.theta.size, view.slope(law.theta)
    covariance: Array = slope @ np.reshape(law.covariance or np.zeros(size**2), (size, size)) @ slope.T
    return covariance
