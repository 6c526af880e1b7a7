"""A schedule from the gradient norms of an earlier run."""

from bisect import bisect_left, insort

import numpy as np
import numpy.typing as npt

from lrsched._core.check import short
from lrsched.arguments import Fraction, Numbers, Positive, checked


@checked
def refine(grad_norms: Numbers, *, smoothing: Fraction = 0.1, power: Positive = 2.0) -> npt.NDArray[np.float64]:
    """Return the schedule that the gradient norms of a finished run suggest.

    With G the norms after a median filter over `smoothing * n` updates and `w = G ** -power`, the value at step t is
    `w[t] * sum(w[t + 1:])`, divided by the largest. Constant norms give a line from 1 to 0. Wrap it as
    `Table(refine(norms)) * peak`. It is the best sequence for a bound of the loss, with the norms taken as given.

    Args:
        grad_norms: norm of the gradient at each update, > 0, of shape `(n,)`, n at least 2.
        smoothing: width of the filter over n, from 0 (none) to 1.
        power: 2 for SGD with Euclidean norms; 1 for Adam with l1 norms.

    Returns:
        n values between 0 and 1, float64; the last is 0.

    Raises:
        ValueError: a norm is zero, negative, infinite or NaN, or there are fewer than two.

    Examples:
        >>> refine([1.0, 1.0, 1.0, 1.0, 1.0])
        array([1.  , 0.75, 0.5 , 0.25, 0.  ])

    References:
        Defazio et al., When, why and how much? Adaptive learning rate scheduling by refinement, 2023, algorithm 1.
        arXiv:2310.07831
    """
    norms = np.asarray(grad_norms, dtype=np.float64)
    if norms.ndim != 1 or len(norms) < 2 or not (np.isfinite(norms) & (norms > 0.0)).all():
        raise ValueError(f"refine(grad_norms=...) must hold two or more finite norms > 0, got {short(grad_norms)}")
    smooth = _median_filtered(norms, int(smoothing * len(norms)) // 2)
    # Relative to the smallest norm the largest weight is 1, and no power overflows.
    weights = (smooth.min() / smooth) ** power
    later = np.append(np.cumsum(weights[:0:-1])[::-1], 0.0)
    rates: npt.NDArray[np.float64] = weights * later
    rates /= rates.max()
    return rates


def _median_filtered(x: npt.NDArray[np.float64], half: int) -> npt.NDArray[np.float64]:
    """Return the medians over windows of `2 * half + 1`; the start is repeated, the end mirrored."""
    if half == 0:
        return x
    padded = np.concatenate([np.repeat(x[0], half), x, x[-2 : -half - 2 : -1]]).tolist()
    # A sorted window in which one number is replaced at a time: linear in n, with a fast constant.
    window = sorted(padded[: 2 * half + 1])
    medians = [window[half]]
    for left, right in zip(padded, padded[2 * half + 1 :], strict=False):
        del window[bisect_left(window, left)]
        insort(window, right)
        medians.append(window[half])
    return np.array(medians)
