"""The schedules of Optax that are given by factors at boundaries."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated

from lrsched._core.check import Choice, Int, Real
from lrsched._curves.ramps import Cosine, Linear
from lrsched._curves.schedule import Constant, Schedule
from lrsched._recipes.decimals import products
from lrsched.compat._tools.arguments import Fraction, Length, Positive, Rate, checked
from lrsched.compat._tools.parts import chain
from lrsched.compat._tools.pieces import late, stairs


def _scales(where: str, boundaries_and_scales: Mapping[int, float] | None) -> tuple[list[int], list[float]]:
    """Return the checked boundaries, sorted, and their factors."""
    given = dict(sorted((boundaries_and_scales or {}).items()))
    where = f"{where}(boundaries_and_scales=...)"
    steps = [Int(low=-(2**53))(where, step) or 0 for step in given]
    return steps, [Real(low=0.0)(f"{where}[{step!r}]", scale) or 0.0 for step, scale in given.items()]


@checked
def piecewise_constant_schedule(init_value: Rate, boundaries_and_scales: Mapping[int, float] | None = None) -> Schedule:
    """A staircase whose value is multiplied by a factor at each boundary.

    Args:
        init_value: first value.
        boundaries_and_scales: factors >= 0 under the steps at which they are used first.

    Examples:
        >>> piecewise_constant_schedule(1.0, {30: 0.5, 60: 0.1})
        Constant(1.0, steps=30) >> Constant(0.5, steps=30) >> Constant(0.05)
    """
    steps, scales = _scales("piecewise_constant_schedule", boundaries_and_scales)
    return stairs(steps, products(init_value, scales))


@checked
def piecewise_interpolate_schedule(
    interpolate_type: Annotated[str, Choice(("linear", "cosine"))],
    init_value: Rate,
    boundaries_and_scales: Mapping[int, float] | None = None,
) -> Schedule:
    """Lines or half cosine waves between points, each of which multiplies the value of the one before.

    Args:
        interpolate_type: "linear" or "cosine".
        init_value: value at step 0.
        boundaries_and_scales: factors >= 0 under the steps at which they are reached.

    Examples:
        >>> piecewise_interpolate_schedule("linear", 1.0, {10: 2.0, 30: 0.0})
        Linear(1.0, 2.0, steps=10) >> Linear(2.0, 0.0, steps=20)
    """
    steps, scales = _scales("piecewise_interpolate_schedule", boundaries_and_scales)
    return _interpolated(Linear if interpolate_type == "linear" else Cosine, init_value, steps, scales)


def _interpolated(shape: type[Linear] | type[Cosine], start: float, steps: list[int], scales: list[float]) -> Schedule:
    values = products(start, scales)
    parts = [
        late(shape(a, b, end - begin), max(-begin, 0))
        for a, b, (begin, end) in zip(values, values[1:], pairwise([0, *steps]), strict=False)
        if end > max(begin, 0)
    ]
    return chain(*parts) if parts else Constant(values[-1])


@checked
def linear_onecycle_schedule(
    transition_steps: Length,
    peak_value: Rate,
    pct_start: Fraction = 0.3,
    pct_final: Fraction = 0.85,
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 10000.0,
) -> Schedule:
    """One cycle of straight lines: up, back to the first value, and down from there.

    Args:
        transition_steps: all steps, >= 1.
        peak_value: highest value, reached at step `int(pct_start * transition_steps)`.
        pct_start: part of the steps that rises.
        pct_final: part of the steps after which the value is the first again.
        div_factor: what the first value is smaller by.
        final_div_factor: what the last value is smaller by than the first.

    Examples:
        >>> linear_onecycle_schedule(100, 1.0, div_factor=4.0, final_div_factor=2.0)
        Linear(0.25, 1.0, steps=30) >> Linear(1.0, 0.25, steps=55) >> Linear(0.25, 0.125, steps=15)
    """
    points = {
        int(pct_start * transition_steps): div_factor,
        int(pct_final * transition_steps): 1.0 / div_factor,
        transition_steps: 1.0 / final_div_factor,
    }
    return piecewise_interpolate_schedule("linear", peak_value / div_factor, points)


@checked
def cosine_onecycle_schedule(
    transition_steps: Length,
    peak_value: Rate,
    pct_start: Fraction = 0.3,
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 10000.0,
) -> Schedule:
    """One cycle of two half cosine waves: up, and down below where it began.

    The top is at step `int(pct_start * transition_steps)`, one update later than in torch.

    Args:
        transition_steps: all steps, >= 1.
        peak_value: highest value.
        pct_start: part of the steps that rises.
        div_factor: what the first value is smaller by.
        final_div_factor: what the last value is smaller by than the first.

    Examples:
        >>> cosine_onecycle_schedule(100, 1.0, div_factor=4.0, final_div_factor=2.0)
        Cosine(0.25, 1.0, steps=30) >> Cosine(1.0, 0.125, steps=70)
    """
    points = {
        int(pct_start * transition_steps): div_factor,
        transition_steps: 1.0 / (div_factor * final_div_factor),
    }
    return piecewise_interpolate_schedule("cosine", peak_value / div_factor, points)
