"""What earlier runs teach about the next one."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from lrsched._core.check import Many, short
from lrsched.arguments import Positive, checked
from lrsched.forecast._law import A_LAW, Law
from lrsched.forecast._prior import FREE, REFERENCE, Prior, believed


@checked
def fit_prior(
    laws: Annotated[Sequence[Law], Many(A_LAW)], *, reference: Positive = REFERENCE, least: Positive = 0.25
) -> Prior:
    """The prior that earlier runs teach: what their laws have in common.

    Centre: the geometric mean of what the runs say. Spread: `sqrt(least**2 + variance of the logarithms)`. The floor of
    the loss and the scale of its reducible part (the first two parameters) differ from run to run and stay free.

    Args:
        laws: one or more laws of one class, each fitted to runs with its own `peak`: with the unit of a run in its peak
            rate, the parameters of different runs compare.
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
    if len({type(law) for law in laws}) > 1:
        raise ValueError(f"fit_prior(laws=...) must hold one or more laws of one class, got {short(laws)}")
    logarithms = np.array([believed(law.theta, law.parameters.index(law.response), reference) for law in laws])
    spread = np.full(logarithms.shape[1], least)
    if len(laws) > 1:
        spread = np.sqrt(least**2 + logarithms.var(axis=0, ddof=1))
    spread[:2] = FREE
    centre = np.exp(logarithms.mean(axis=0))
    return Prior(tuple(centre.tolist()), spread=tuple(spread.tolist()), reference=reference)
