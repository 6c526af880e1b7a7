"""The scheduler of HyperbolicLR, `hyperbolic_lr.HyperbolicLR`."""

from lrsched._curved import Hyperbolic
from lrsched._schedule import Schedule
from lrsched.compat._args import Length, Rate, checked, must
from lrsched.compat._pieces import late

__all__ = ["HyperbolicLR"]


@checked
def HyperbolicLR(
    upper_bound: Length = 1000, max_iter: Length = 100, init_lr: Rate = 1e-2, min_lr: Rate = 1e-4
) -> Schedule:
    """A branch of a hyperbola to `min_lr`, whose beginning hardly depends on the length.

    With n = t + 1, N = `max_iter`, U = `upper_bound` it is
    `min_lr + (init_lr - min_lr) * sqrt((N - n) / U * (2 - (n + N) / U))`. It counts before it sets the rate, and it
    begins below `init_lr`, at `sqrt(N / U * (2 - N / U))` of the way from `min_lr` to it.

    Args:
        upper_bound: U, more than `max_iter`.
        max_iter: length of the curve; `min_lr` stays after it, where the library takes the root of a negative number.
        init_lr: the rate that a curve of length U would begin with, >= 0.
        min_lr: last rate, >= 0, at most `init_lr`.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        >>> round(HyperbolicLR(20, 10, 1.0, 0.0)(4), 12)
        0.559016994375

    References:
        Kim, HyperbolicLR, 2024, arXiv:2407.15200; hyperbolic_lr.py at daaba15.
    """
    must(upper_bound > max_iter, "HyperbolicLR(upper_bound=...)", f"> max_iter={max_iter!r}", upper_bound)
    must(init_lr >= min_lr, "HyperbolicLR(init_lr=...)", f">= min_lr={min_lr!r}", init_lr)
    share = max_iter / upper_bound
    start = min_lr + (init_lr - min_lr) * (share * (2.0 - share)) ** 0.5
    return late(Hyperbolic(start, min_lr, max_iter, upper_bound), 1)
