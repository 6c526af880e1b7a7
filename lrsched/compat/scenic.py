"""The factor strings of Scenic, `scenic.train_lib.lr_schedules.compound_lr_scheduler`."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from lrsched._check import Int, Real
from lrsched._cycles import Repeat
from lrsched._decays import Exponential, PowerLaw
from lrsched._modifiers import Epochs, Extend
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Cosine, Linear, Polynomial
from lrsched.compat._args import must
from lrsched.compat._pieces import late, stairs, then

__all__ = ["compound_lr_scheduler"]

Config = Mapping[str, Any]


class _Config:
    """Reads checked numbers from a configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def _get(self, name: str, default: Any) -> Any:
        found = self.config.get(name, default)
        must(found is not None, f'compound_lr_scheduler(config["{name}"])', "given for its factors", found)
        return found

    def real(self, name: str, default: float | None = None, low: float = 0.0, open_low: bool = False) -> float:
        number = Real(low=low, open_low=open_low)(f'compound_lr_scheduler(config["{name}"])', self._get(name, default))
        return number or 0.0

    def steps(self, name: str, default: int | None = None, low: int = 0) -> int:
        number = self._get(name, default)
        number = int(number) if isinstance(number, float) and number.is_integer() else number
        return Int(low=low)(f'compound_lr_scheduler(config["{name}"])', number) or 0

    def events(self) -> tuple[list[int], list[float]]:
        steps, factors = list(self._get("decay_events", None)), [1.0, *self._get("decay_factors", None)]
        rises = all(a < b for a, b in pairwise([-1, *steps])) and len(factors) == len(steps) + 1
        must(rises, 'compound_lr_scheduler(config["decay_events"])', "increasing, one for each factor", steps)
        return steps, factors


def _constant(c: _Config) -> Schedule:
    return Constant(c.real("base_learning_rate"))


def _polynomial(c: _Config) -> Schedule:
    return Polynomial(1.0, c.real("end_factor"), c.steps("decay_steps", low=1), c.real("power", open_low=True))


def _piecewise_constant(c: _Config) -> Schedule:
    steps, factors = c.events()
    return stairs([step + 1 for step in steps], factors)


def _piecewise_linear(c: _Config) -> Schedule:
    steps, factors = c.events()
    schedule: Schedule = Constant(factors[-1])
    for (a, b), (start, end) in reversed(list(zip(pairwise([0, *steps]), pairwise(factors), strict=True))):
        schedule = then(b - a, Linear(start, end, max(b - a, 1)), schedule)
    return schedule


def _linear_warmup(c: _Config) -> Schedule:
    steps = c.steps("warmup_steps")
    return Linear(c.real("warmup_alpha", 0.0), 1.0, steps) if steps else Constant(1.0)


def _rsqrt_decay(c: _Config) -> Schedule:
    steps = c.steps("warmup_steps", 0)
    fall = PowerLaw(1.0, 0.5, timescale=c.real("timescale", 10_000, open_low=True))
    return then(steps, Constant(1.0, max(steps, 1)), fall)


def _decay_every(c: _Config) -> Schedule:
    return Epochs(Exponential(1.0, c.real("decay_factor", open_low=True)), c.steps("steps_per_decay", low=1))


def _cosine_decay(c: _Config) -> Schedule:
    cycle, warmup = c.steps("steps_per_cycle", low=1), c.steps("warmup_steps", 0)
    cycle -= int(warmup / (c.steps("total_steps", cycle, low=1) / cycle))
    must(cycle > 0, 'compound_lr_scheduler(config["steps_per_cycle"])', "more than its part of the warm-up", cycle)
    first, alpha = warmup + c.steps("start_decay_step", 0), c.real("alpha", 0.0)
    stretch, scale = c.real("t_mul", 1.0, low=1.0), c.real("m_mul", 1.0, open_low=True)
    if scale == 1.0 or alpha == 0.0:
        waves: Schedule = Repeat(Cosine(1.0, alpha, cycle), stretch=stretch, scale=scale)
    else:
        waves = alpha + Repeat(Cosine(1.0 - alpha, 0.0, cycle), stretch=stretch, scale=scale)
    return then(first, Constant(1.0, max(first, 1)), waves)


def _linear_cooldown(c: _Config) -> Schedule:
    total, steps, warmup = c.steps("total_steps", low=1), c.steps("cooldown_steps", low=1), c.steps("warmup_steps", 0)
    begin = max(total - steps, warmup)
    fall = late(Extend(Linear(1.0, 0.0, steps)), begin - (total - steps))
    return then(begin, Constant(fall(0), max(begin, 1)), fall)


_FACTORS: dict[str, Callable[[_Config], Schedule]] = {
    "constant": _constant,
    "polynomial": _polynomial,
    "piecewise_constant": _piecewise_constant,
    "piecewise_linear": _piecewise_linear,
    "linear_warmup": _linear_warmup,
    "rsqrt_decay": _rsqrt_decay,
    "decay_every": _decay_every,
    "cosine_decay": _cosine_decay,
    "linear_cooldown": _linear_cooldown,
}


def _linear_decay(c: _Config, running: Schedule) -> Schedule:
    """Return the running product bent down to the end value; unlike the others this factor depends on its place."""
    total, warmup, end = c.steps("total_steps", low=1), c.steps("warmup_steps", 0), c.real("end_learning_rate", 0.0)
    must(total > warmup, 'compound_lr_scheduler(config["total_steps"])', f"> warmup_steps={warmup!r}", total)
    first = max(warmup, 1)
    fall = running * then(warmup, Constant(1.0, first), Linear(1.0, 0.0, total - warmup))
    return fall + then(warmup, Constant(0.0, first), Linear(0.0, end, total - warmup)) if end else fall


def compound_lr_scheduler(config: Config) -> Schedule:
    """The product of named factors, from left to right.

    With W = `warmup_steps`: "constant" `base_learning_rate`; "linear_warmup" from `warmup_alpha` to 1 in W steps;
    "rsqrt_decay" `sqrt(timescale / (t + timescale - W))` after W (`timescale` is 10,000 by default); "cosine_decay"
    half cosines after `W + start_decay_step`, which restart (`t_mul`, `m_mul`, `alpha`; each cycle is shortened by its
    part of the warm-up); "decay_every" `decay_factor ** floor(t / steps_per_decay)`; "polynomial" (`decay_steps`,
    `end_factor`, `power`); "piecewise_constant" and "piecewise_linear" (`decay_events`, `decay_factors`, absolute; the
    constant ones change one step *after* the event); "linear_decay" takes the product so far down to
    `end_learning_rate` at `total_steps`; "linear_cooldown" takes it to zero in the last `cooldown_steps`, and below
    after that.

    Args:
        config: the names under "factors", separated by `*`, and their numbers.

    Raises:
        ValueError: a factor is unknown, a number that it needs is missing or out of range.

    Examples:
        >>> config = {"factors": "constant*linear_warmup*rsqrt_decay", "base_learning_rate": 0.1, "warmup_steps": 10}
        >>> s = compound_lr_scheduler({**config, "timescale": 100})
        >>> s(5), s(10), s(310)
        (0.05, 0.1, 0.05)

    References:
        Scenic at 00091de, train_lib/lr_schedules.py. It computes in float32.
    """
    c = _Config(config)
    product: Schedule = Constant(1.0)
    for i, name in enumerate(part.strip() for part in str(config.get("factors", "")).split("*")):
        known = name in _FACTORS or name == "linear_decay"
        names = ", ".join([*_FACTORS, "linear_decay"])
        must(known, 'compound_lr_scheduler(config["factors"])', f"made of {names}", name)
        if name == "linear_decay":
            product = _linear_decay(c, product)
        else:
            product = _FACTORS[name](c) if i == 0 else product * _FACTORS[name](c)
    return product
