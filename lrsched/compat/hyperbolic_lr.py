"""The scheduler of HyperbolicLR, `hyperbolic_lr.HyperbolicLR`.

Its training loop makes one step of it an epoch, after the epoch: the first one has the optimizer's own rate, that at
which a warm-up ends. A step here is one of its steps; `Epochs(schedule, batches)` counts updates. Before June 2024 the
curve fell to `min_lr` and began below the rate that was asked for.
"""

from lrsched._curves import Constant, Hyperbolic, Linear, Schedule, Shift
from lrsched.compat._tools import Count, Length, Positive, Rate, checked, must

__all__ = ["HyperbolicLR"]


@checked
def HyperbolicLR(
    lr: Positive,
    upper_bound: Length = 1000,
    max_iter: Length = 100,
    infimum_lr: Rate = 1e-6,
    warmup_epochs: Count = 0,
) -> Schedule:
    """A branch of a hyperbola, whose beginning hardly depends on the length.

    With N = `max_iter` - `warmup_epochs`, U = `upper_bound`, n the steps since the warm-up and
    `h(n) = sqrt((N - n) / U * (2 - (N + n) / U))` it is `lr - (lr - infimum_lr) * (h(0) - h(n))`. It ends above
    `infimum_lr`, which only a curve with N = U reaches.

    Args:
        lr: the optimizer's learning rate, > 0.
        upper_bound: U, at least `max_iter`.
        max_iter: length with the warm-up; the last rate stays after it, where the library takes the root of a
            negative number.
        infimum_lr: the rate that no curve falls below, >= 0, less than `lr`.
        warmup_epochs: steps of a line from `infimum_lr`, less than `max_iter`. Its first value is never used.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        >>> s = HyperbolicLR(1.0, 20, 10, 0.0)
        >>> s(0), round(s(10), 12)  # 1 - sqrt(3) / 2
        (1.0, 0.133974596216)

    References:
        HyperbolicLR at cefcb8f (2026-02-07), hyperbolic_lr.py; Kim, HyperbolicLR, 2024, arXiv:2407.15200.
    """
    must(upper_bound >= max_iter, "HyperbolicLR(upper_bound=...)", f">= max_iter={max_iter!r}", upper_bound)
    must(infimum_lr < lr, "HyperbolicLR(infimum_lr=...)", f"< lr={lr!r}", infimum_lr)
    must(warmup_epochs < max_iter, "HyperbolicLR(warmup_epochs=...)", f"< max_iter={max_iter!r}", warmup_epochs)
    steps = max_iter - warmup_epochs
    share = steps / upper_bound
    fall = Hyperbolic(lr, lr - (lr - infimum_lr) * (share * (2.0 - share)) ** 0.5, steps, upper_bound)
    if not warmup_epochs:
        return fall
    rise = [Shift(Linear(infimum_lr, lr, warmup_epochs), 1)] if warmup_epochs > 1 else []
    return Schedule.sequence([Constant(lr, 1), *rise, fall])
