"""The parts of the return model: its state, what it may be given, what it believes beforehand."""

from typing import Any, NamedTuple

from lrsched._core.check import short
from lrsched.forecast._prior import FREE, Prior
from lrsched.forecast._record import Record

STATUS = {
    "early": "too little of the run has been seen to say anything",
    "blind": "the rate has not moved enough to show how the loss responds to it, and no earlier runs were given",
    "vanishing": "the loss is heading to zero, where the law does not hold",
    "late": "the last decay has begun",
    "ready": "the law describes the run",
}


class Switch(NamedTuple):
    """A plan: from `step` on keep `level`, and from `start` on decay to 0 at the horizon."""

    step: int
    level: float  # over the peak
    start: int
    power: float


class ReturnState(NamedTuple):
    """The state of a return model: numbers and tuples of numbers, of bounded size, which JSON can hold."""

    record: Record
    lr: float  # of the next update
    theta: tuple[float, ...] = ()  # logarithms of the seven parameters of the law, once there is one
    covariance: tuple[float, ...] = ()  # of these, row by row
    identified: bool = False
    switch: Switch | None = None  # followed instead of the default
    better: Switch | None = None  # what beats the plan that is followed
    gain: tuple[float, float] = (0.0, 0.0)  # by how much: mean, standard deviation


class Advantage(NamedTuple):
    """The predicted final loss of one plan minus that of another: above 0 the second is better."""

    mean: float
    lo: float
    hi: float
    probability: float  # that the second is better


def restored(content: Any) -> ReturnState:
    """Return the state that JSON has turned into lists, or raise a ValueError."""
    try:
        _numbers(content)
        record, lr, theta, covariance, identified, switch, better, gain = _tuples(content)
        followed, advised = (each and Switch(*each) for each in (switch, better))
        return ReturnState(Record(*record), lr, theta, covariance, identified, followed, advised, gain)
    except (TypeError, ValueError):
        raise ValueError(f"restore(content) must get the lists of a ReturnState, got {short(content)}") from None


def _numbers(content: Any) -> None:
    """Raise a TypeError unless all in the lists are numbers, True, False or None."""
    if isinstance(content, list | tuple):
        for part in content:
            _numbers(part)
    elif content is not None and not isinstance(content, int | float):
        raise TypeError("no number")


def _tuples(content: Any) -> Any:
    return tuple(map(_tuples, content)) if isinstance(content, list | tuple) else content


def general_prior(horizon: int) -> Prior:
    """Return beliefs about a run of any kind: those of language models, held loosely."""
    return Prior(
        (1.0, 1.0, 0.45, 1.3, 0.03, 0.5, 0.3), spread=(FREE, FREE, 0.3, 1.0, 1.5, 0.3, 0.3), reference=float(horizon)
    )
