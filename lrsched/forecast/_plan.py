"""Plans: schedules of a family, and the one of them that a law likes best."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np

from lrsched._core.check import Int, is_sequence, short
from lrsched._curves import Constant, Cosine, Linear, Polynomial, Schedule, Warmup
from lrsched.arguments import Count, RateOrNone, checked
from lrsched.forecast._law import A_LAW, Law, predict

# Part of the horizon that the decay of a WSD plan takes, its power, and the last rate over the peak of the smooth
# plans.
DECAYS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
POWERS = (1.0, 1.5, 2.0)
ENDS = (0.0, 0.01, 0.03, 0.1, 0.3)
FAMILIES = ("constant", "cosine", "linear", "wsd")


@checked
def plan(
    law: Annotated[Law, A_LAW],
    horizon: Annotated[int, Int(low=2)],
    family: Any = "wsd",
    *,
    peak: RateOrNone = None,
    warmup: Count = 0,
) -> Schedule:
    """The schedule of a family whose final loss the law predicts to be lowest.

    The gain that a law predicts for its favourite is of the size of its error: take it for a good schedule, not for a
    promise.

    Args:
        law: the law.
        horizon: length of the run in updates, at least 2.
        family: "wsd" (constant, then one decay to 0 of power 1, 1.5 or 2), "linear" or "cosine" (to 0 or more),
            "constant"; or a sequence of schedules to choose from.
        peak: the rate after the warm-up; by default the largest rate that the law was fitted to.
        warmup: length of the linear warm-up in updates, >= 0, < `horizon`.

    Returns:
        A schedule.

    Raises:
        ValueError: no such family, or the lengths do not fit.

    Examples:
        >>> from lrsched.forecast import MultiPowerLaw
        >>> law = MultiPowerLaw(l0=2.0, a=30.0, alpha=0.5, b=0.1, c=0.03, beta=0.5, gamma=0.4)
        >>> plan(law, 10_000, "wsd", peak=1.0)
        Constant(1.0, steps=8500) >> Linear(1.0, 0.0, steps=1500)
    """
    if warmup >= horizon - 1:
        raise ValueError(f"plan(warmup=...) must be an int >= 0 and < horizon - 1 = {horizon - 1}, got {warmup!r}")
    top = law.peak if peak is None else peak
    candidates = list(_family(family, top, horizon, warmup)) if isinstance(family, str) else _given(family)
    final = [float(predict(law, each, [horizon - 1])[0]) for each in candidates]
    return candidates[int(np.argmin(final))]


def _no_family(family: object) -> ValueError:
    return ValueError(
        f"plan(family=...) must be one of {', '.join(map(repr, FAMILIES))} or schedules, got {short(family)}"
    )


def _given(family: Sequence[Schedule]) -> list[Schedule]:
    if not is_sequence(family) or not family or not all(isinstance(each, Schedule) for each in family):
        raise _no_family(family)
    return list(family)


def _family(family: str, peak: float, horizon: int, warmup: int) -> Iterator[Schedule]:
    def warmed(rest: Schedule) -> Schedule:
        return Warmup(warmup) >> rest

    steps = horizon - warmup
    if family == "wsd":
        for part in DECAYS:
            for power in POWERS:
                yield warmed(stable_then_decay(peak, steps, min(round(part * horizon), steps), power))
    elif family in ("linear", "cosine"):
        curve = Linear if family == "linear" else Cosine
        yield from (warmed(curve(peak, part * peak, steps=steps)) for part in ENDS)
    elif family == "constant":
        yield warmed(Constant(peak))
    else:
        raise _no_family(family)


def stable_then_decay(level: float, steps: int, decay: int, power: float) -> Schedule:
    """Return `level` for `steps - decay` updates and then a decay of some power to 0."""
    last = max(decay, 1)
    fall = Linear(level, 0.0, steps=last) if power == 1.0 else Polynomial(level, 0.0, steps=last, power=power)
    return Constant(level, steps=steps - decay) >> fall if steps > decay else fall
