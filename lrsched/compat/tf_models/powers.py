"""The schedules of the TensorFlow Model Garden that are powers of the step."""

from typing import Annotated, Any

from lrsched._core.check import Int, Real
from lrsched._curves.combine import Minimum
from lrsched._curves.decays import PowerLaw
from lrsched._curves.ramps import Linear
from lrsched._curves.schedule import Constant, Schedule
from lrsched.compat._tools.arguments import Length, Rate, checked
from lrsched.compat._tools.pieces import late

Offset = Annotated[int, Int(low=-(2**53))]
Exponent = Annotated[float, Real(low=-100.0, high=10.0)]


@checked
def DirectPowerDecay(initial_learning_rate: Rate, power: Exponent = 1.0, name: Any = "DirectPowerDecay") -> Schedule:
    """A power of the step, `initial_learning_rate * max(t, 1) ** power`.

    Args:
        initial_learning_rate: rate at steps 0 and 1.
        power: exponent; the default 1 grows, that of the configuration files is -0.5.
        name: without effect.

    Examples:
        >>> s = DirectPowerDecay(1.0, power=-0.5)
        >>> s(0), s(1), s(4)
        (1.0, 1.0, 0.5)
    """
    return _power_from(initial_learning_rate, power, 0)


def _power_from(start: float, power: float, offset: int) -> Schedule:
    """Return `start * max(t - offset, 1) ** power`."""
    law = PowerLaw(start, -power)
    return Constant(start, offset + 1) >> law if offset >= 0 else late(law, -offset - 1)


@checked
def PowerAndLinearDecay(
    initial_learning_rate: Rate,
    total_decay_steps: Length,
    power: Exponent = 1.0,
    linear_decay_fraction: Rate = 0.1,
    offset: Offset = 0,
    name: Any = "PowerAndLinearDecay",
) -> Schedule:
    """A power of the step, times a line to 0 in the last part.

    Args:
        initial_learning_rate: rate up to one step after the offset.
        total_decay_steps: steps from the offset to 0.
        power: exponent; the default 1 grows, that of the configuration files is -0.5.
        linear_decay_fraction: the part of them in which the line falls; with 0 there is none.
        offset: how many steps late it runs.
        name: without effect.

    Examples:
        >>> s = PowerAndLinearDecay(1.0, 100, power=-0.5, linear_decay_fraction=0.5)
        >>> s(25), s(64), s(100)
        (0.2, 0.09, 0.0)
    """
    curve = _power_from(initial_learning_rate, power, offset)
    length = total_decay_steps * linear_decay_fraction
    if not length:
        return curve
    end = total_decay_steps + offset
    return curve * Minimum((Constant(1.0), Linear(end / length, 0.0, end))) if end > 0 else Constant(0.0)


@checked
def PowerDecayWithOffset(
    initial_learning_rate: Rate,
    power: Exponent = 1.0,
    offset: Offset = 0,
    pre_offset_learning_rate: Rate = 1.0e6,
    name: Any = "PowerDecayWithOffset",
) -> Schedule:
    """A rate up to the offset, then a power of the steps since, never above that rate.

    Args:
        initial_learning_rate: rate one step after the offset.
        power: exponent; the default 1 grows, that of the configuration files is -0.5.
        offset: last step of the first rate.
        pre_offset_learning_rate: the first rate, a million unless given.
        name: without effect.

    Examples:
        >>> s = PowerDecayWithOffset(1.0, power=-0.5, offset=5, pre_offset_learning_rate=2.0)
        >>> s(5), s(6), s(9)
        (2.0, 1.0, 0.5)
    """
    top = Constant(pre_offset_learning_rate)
    law = Minimum((top, PowerLaw(initial_learning_rate, -power)))
    return Constant(pre_offset_learning_rate, offset + 1) >> law if offset >= 0 else late(law, -offset - 1)
