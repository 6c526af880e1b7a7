"""Composer's texts for times, what turns them into updates, and when its Trainer looks at them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from lrsched._core.check import Flag, OrNone
from lrsched._core.units import read_length
from lrsched._curves import MAX_CYCLES, Constant, Epochs, Schedule, Table
from lrsched.compat._tools import Default, LengthOrNone, Positive, delayed, must


@dataclass(frozen=True)
class TimeText:
    """A constraint: one of Composer's texts for a time in batches, epochs or parts of the training."""

    def __call__(self, where: str, value: Any) -> tuple[float, str]:
        """Return value and unit, or raise, naming `where`."""
        if not isinstance(value, str):
            raise TypeError(f"{where} must be a text such as '10ep', '500ba' or '0.3dur', got {value!r}")
        number, scale, unit = read_length(value) or (0, "", "")
        known = unit in ("ep", "ba", "dur") and not scale
        must(known, where, "a text such as '10ep', '500ba' or '0.3dur'", value)
        must(unit == "dur" or number == int(number), where, f"a whole number of {unit!r}", value)
        return float(number), unit

    def wrong(self) -> Iterator[Any]:
        """Yield values that must be refused."""
        yield from (5, "5", "ep", "1.5ep", "-1ba", "10tok")


Time = Annotated[str, TimeText()]


class Counting(TypedDict, total=False):
    """How the Trainer counts: batches of an epoch, the factor of times, whether it steps with every batch."""

    dataloader_len: Annotated[LengthOrNone, Default(None)]
    ssr: Annotated[Positive, Default(1.0)]
    # Composer's own default, None, steps its schedulers with each batch.
    step_schedulers_every_batch: Annotated[bool | None, Flag(default=True), Default(True)]


class _Duration(TypedDict, total=False):
    max_duration: Annotated[str | None, OrNone(TimeText()), Default(None)]


class Training(_Duration, Counting, total=False):
    """The same, after how long it trains."""


Parsed = tuple[float, str]


class ComposerClock:
    """Turns times into batches as Composer does, rounding down, and functions of time into rates of updates."""

    def __init__(self, where: str, training: Training) -> None:
        self.where, self.epoch, self.ssr = where, training["dataloader_len"], training["ssr"]
        self.max_duration: Any = training["max_duration"]
        self.every_batch = training["step_schedulers_every_batch"]
        wrong = self.max_duration is not None and self.max_duration[1] == "dur"
        must(not wrong, f"{where}(max_duration=...)", "a time in 'ep' or 'ba'", self.max_duration)

    def _per(self, unit: str) -> int:
        if unit == "ba":
            return 1
        must(self.epoch is not None, f"{self.where}(dataloader_len=...)", "given if a time is in epochs", self.epoch)
        return self.epoch or 1

    def batches(self, time: Any, scaled: bool = True) -> int:
        """Return the batches of a time; a part of the training is not scaled by `ssr`."""
        value, unit = time
        if unit == "dur":
            return int(value * self._per(self._longest()[1]) * self._longest()[0])
        return int(value * self._per(unit) * (self.ssr if scaled else 1.0))

    def total(self) -> int:
        """Return the batches of the whole training."""
        return int(self._longest()[0] * self._per(self._longest()[1]))

    def _longest(self) -> Parsed:
        if self.max_duration is None:
            must(False, f"{self.where}(max_duration=...)", "given if a time is a part of the training", None)
        longest: Parsed = self.max_duration
        return longest

    def length(self, name: str, time: Any) -> int:
        """Return the batches of a time that must not be 0."""
        steps = self.batches(time)
        scaled = "" if self.ssr == 1.0 else f" when scaled by {self.ssr:g}"
        must(steps > 0, f"{self.where}({name}=...)", f"at least one batch{scaled}", f"{time[0]:g}{time[1]}")
        return steps

    def used(self, function: Schedule) -> Schedule:
        """Return the rates of the updates: the function of the batches done, as the Trainer asks for it.

        With each batch it asks before it counts the batch, so update t uses f(max(t - 1, 0)). At the end of an epoch
        the batches of the epoch are counted, so all updates of the next one use f at its first batch.
        """
        if self.every_batch:
            return delayed(function)
        where, size = self.where, self.epoch
        must(
            size is not None, f"{where}(dataloader_len=...)", "given unless the scheduler steps with every batch", size
        )
        if isinstance(function, Constant):
            return function
        batches = function.length if self.max_duration is None else self.total()
        if batches is None:
            must(False, f"{where}(max_duration=...)", "given unless the scheduler steps with every batch", None)
        epochs = -(-int(batches or 0) // int(size or 1))
        must(epochs <= MAX_CYCLES, f"{where}(max_duration=...)", f"at most {MAX_CYCLES} epochs of training", epochs)
        return Epochs(Table(tuple(function(i * int(size or 1)) for i in range(epochs + 1))), int(size or 1))
