"""The triangular wave of Keras' and speechbrain's cyclical rates: a half cycle of any length, a scale of any kind."""

from lrsched._curves.cycles import Triangular
from lrsched._curves.modifiers import Epochs, Shift, Stretch
from lrsched._curves.schedule import Schedule
from lrsched.compat._tools.arguments import must


def cyclical(
    where: str, top: str, low: float, high: float, size: float, scale: Schedule | None, by_cycle: bool
) -> Schedule:
    """Return the wave from `low` to `high` in `size` steps and back, its height times `scale`.

    Args:
        where: the library's function, for errors.
        top: its name of `high`.
        low: value at the start of each cycle.
        high: value at the top, not below `low` if there is a scale.
        size: steps of half a cycle, > 0; need not be whole.
        scale: factor of the height, or None.
        by_cycle: whether the step of `scale` is the number of the cycle, from 1; else it is that of the wave.
    """
    whole = size == int(size)
    must(whole or 1e-6 <= size <= 1e6, f"{where}(step_size=...)", "from 1e-6 to 1e6 if it is not whole", size)

    def wave(first: float, second: float) -> Schedule:
        return Triangular(first, second, up=int(size)) if whole else Stretch(Triangular(first, second, up=1), size)

    if scale is None:
        return wave(low, high)
    must(high >= low, f"{where}({top}=...)", f">= {low!r}, the lowest rate, where the height changes", high)
    if by_cycle:
        number, period = Shift(scale, 1), 2.0 * size
        # Where the cycle ends between two steps, the wave is so low there that the side does not show.
        scale = Epochs(number, int(period)) if period == int(period) else Stretch(Epochs(number, 1), period)
    return low + wave(0.0, high - low) * scale if low else wave(0.0, high - low) * scale
