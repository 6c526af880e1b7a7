"""The factor strings of Scenic, `scenic.train_lib.lr_schedules.compound_lr_scheduler`."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from lrsched._core.check import Constraint, Flag, Int, Many, Real, Steps
from lrsched._curves import (
    Constant,
    Cosine,
    Epochs,
    Exponential,
    Extend,
    Linear,
    Polynomial,
    PowerLaw,
    Repeat,
    Schedule,
)
from lrsched.compat._tools import (
    Section,
    after,
    checked,
    dictionary,
    late,
    must,
    number,
    over,
    spread,
    stairs,
    then,
    whole,
)

__all__ = ["compound_lr_scheduler"]

Config = Mapping[str, Any]
_WHERE = "compound_lr_scheduler(config)"
_POSITIVE = Real(low=0.0, open_low=True)
_LENGTH = Steps(low=1e-6)


class _Config:
    """Reads checked numbers from a configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def read(self, name: str, rule: Constraint, default: Any = None) -> Any:
        found = self.config.get(name, default)
        must(found is not None, f'compound_lr_scheduler(config["{name}"])', "given for its factors", found)
        return rule(f'compound_lr_scheduler(config["{name}"])', number(rule, found))

    def length(self, name: str, default: float | None = None) -> float:
        """Return a length of at least a part of a step, which need not be whole."""
        return whole(self.read(name, _LENGTH, default))

    def steps(self, name: str) -> float:
        """Return a number of steps that is 0 by default and need not be whole."""
        return whole(self.read(name, Steps(), 0))

    def events(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        steps = self.read("decay_events", Many(Int(low=0)))
        factors = (1.0, *self.read("decay_factors", Many(Real(low=0.0))))
        rises = all(a < b for a, b in pairwise([-1, *steps])) and len(factors) == len(steps) + 1
        must(rises, 'compound_lr_scheduler(config["decay_events"])', "increasing, one for each factor", steps)
        return steps, factors


def _stairs(rate: float, steps: float) -> Schedule:
    """Return `rate ** floor(t / steps)`."""
    return over(steps, lambda n: Epochs(Exponential(1.0, rate), n))


def _constant(c: _Config) -> Schedule:
    return Constant(c.read("base_learning_rate", Real(low=0.0)))


def _polynomial(c: _Config) -> Schedule:
    steps, end, power = c.length("decay_steps"), c.read("end_factor", Real(low=0.0)), c.read("power", _POSITIVE)
    return over(steps, lambda n: Polynomial(1.0, end, n, power))


def _piecewise_constant(c: _Config) -> Schedule:
    steps, factors = c.events()
    return stairs([step + 1 for step in steps], factors)


def _piecewise_linear(c: _Config) -> Schedule:
    steps, factors = c.events()
    schedule: Schedule = Constant(factors[-1])
    for (a, b), (start, end) in reversed(list(zip(pairwise([0, *steps]), pairwise(factors), strict=True))):
        schedule = then(b - a, Linear(start, end, max(b - a, 1)), schedule)
    # Step 0 comes before an event at step 0.
    return Constant(1.0, 1) >> late(schedule, 1) if steps[0] == 0 else schedule


def _linear_warmup(c: _Config) -> Schedule:
    steps = whole(c.read("warmup_steps", Steps()))
    rise = Linear(c.read("warmup_alpha", Real(low=0.0), 0.0), 1.0, 1)
    return spread(rise, steps) if steps else Constant(1.0)


def _rsqrt_decay(c: _Config) -> Schedule:
    return after(c.steps("warmup_steps"), PowerLaw(1.0, 0.5, timescale=c.read("timescale", _POSITIVE, 10_000)))


def _decay_every(c: _Config) -> Schedule:
    return _stairs(c.read("decay_factor", _POSITIVE), c.length("steps_per_decay"))


def _exponential_decay(c: _Config) -> Schedule:
    rate, steps = c.read("decay_rate", _POSITIVE), c.length("decay_steps")
    return _stairs(rate, steps) if c.read("staircase", Flag(), False) else Exponential(1.0, rate, steps)


def _cosine_decay(c: _Config) -> Schedule:
    cycle, warmup = c.length("steps_per_cycle"), c.steps("warmup_steps")
    cycle = whole(cycle - int(warmup / (c.length("total_steps", cycle) / cycle)))
    first, alpha = whole(warmup + c.steps("start_decay_step")), c.read("alpha", Real(low=0.0), 0.0)
    stretch, scale = c.read("t_mul", Real(low=1.0), 1.0), c.read("m_mul", _POSITIVE, 1.0)
    if cycle <= 0:  # the warm-up takes it all
        return Constant(1.0)
    # Where the height changes, the floor does not.
    floor = 0.0 if scale == 1.0 else alpha

    def waves(n: int) -> Schedule:
        above = Repeat(Cosine(1.0 - floor, alpha - floor, n), stretch=stretch, scale=scale)
        return floor + above if floor else above

    return after(first, over(cycle, waves))


def _linear_cooldown(c: _Config) -> Schedule:
    total, steps, warmup = c.length("total_steps"), c.length("cooldown_steps"), c.steps("warmup_steps")
    must(total >= warmup, 'compound_lr_scheduler(config["total_steps"])', f">= warmup_steps={warmup!r}", total)
    begin = whole(max(total - steps, warmup))
    fall = over(steps, lambda n: Extend(Linear(1.0, 0.0, n)))
    return after(begin, late(fall, whole(begin - (total - steps))))


class _Maker(NamedTuple):
    """How a factor is made, and the names of its numbers."""

    make: Callable[[_Config], Schedule]
    names: tuple[str, ...]


_FACTORS: dict[str, _Maker] = {
    "constant": _Maker(_constant, ("base_learning_rate",)),
    "polynomial": _Maker(_polynomial, ("decay_steps", "end_factor", "power")),
    "piecewise_constant": _Maker(_piecewise_constant, ("decay_events", "decay_factors")),
    "piecewise_linear": _Maker(_piecewise_linear, ("decay_events", "decay_factors")),
    "linear_warmup": _Maker(_linear_warmup, ("warmup_steps", "warmup_alpha")),
    "rsqrt_decay": _Maker(_rsqrt_decay, ("warmup_steps", "timescale")),
    "decay_every": _Maker(_decay_every, ("steps_per_decay", "decay_factor")),
    "exponential_decay": _Maker(_exponential_decay, ("decay_steps", "decay_rate", "staircase")),
    "cosine_decay": _Maker(
        _cosine_decay,
        ("steps_per_cycle", "total_steps", "warmup_steps", "start_decay_step", "t_mul", "m_mul", "alpha"),
    ),
    "linear_cooldown": _Maker(_linear_cooldown, ("total_steps", "cooldown_steps", "warmup_steps")),
}
_DECAY = "linear_decay"
_NAMES = {name: factor.names for name, factor in _FACTORS.items()} | {
    _DECAY: ("total_steps", "warmup_steps", "end_learning_rate")
}


def _linear_decay(c: _Config, running: Schedule) -> Schedule:
    """Return the running product bent down to the end value; unlike the others this factor depends on its place."""
    total, warmup = c.length("total_steps"), c.steps("warmup_steps")
    must(total > warmup, 'compound_lr_scheduler(config["total_steps"])', f"> warmup_steps={warmup!r}", total)
    end, steps = c.read("end_learning_rate", Real(low=0.0), 0.0), whole(total - warmup)
    fall = running * after(warmup, spread(Linear(1.0, 0.0, 1), steps))
    return fall + after(warmup, spread(Linear(0.0, end, 1), steps)) if end else fall


def _taken(content: Config, names: list[str]) -> dict[str, Any]:
    """Return the numbers of the factors of these names, once none is left that they do not use."""
    used = {each for name in names for each in _NAMES[name]}
    homes = {}
    for other in {each for numbers in _NAMES.values() for each in numbers} - used:
        of = [factor for factor, theirs in _NAMES.items() if other in theirs]
        homes[other] = f"it is a number of {' and '.join(of)}, which the factors lack"
    section = Section(
        _WHERE,
        "the numbers of its factors",
        read=("factors", *sorted(used)),
        neutral={"learning_rate_schedule": ("compound",)},
        # Scenic wants this number in every configuration.
        aside=("base_learning_rate",) if content.get("base_learning_rate") == 1.0 else (),
        homes=homes,
        strict=True,
    )
    return section.taken(content)


@checked
def compound_lr_scheduler(config: Config) -> Schedule:
    """The product of named factors, from left to right.

    With W = `warmup_steps`: "constant" `base_learning_rate`; "linear_warmup" from `warmup_alpha` to 1 in W steps;
    "rsqrt_decay" `sqrt(timescale / (t + timescale - W))` after W (`timescale` is 10,000 by default); "cosine_decay"
    half cosines after `W + start_decay_step`, which restart (`t_mul`, `m_mul`, `alpha`; each cycle is shortened by its
    part of the warm-up, and left out if that takes it all); "decay_every" `decay_factor ** floor(t / steps_per_decay)`;
    "exponential_decay" `decay_rate ** (t / decay_steps)` (with `staircase` the exponent is rounded down); "polynomial"
    (`decay_steps`, `end_factor`, `power`); "piecewise_constant" and "piecewise_linear" (`decay_events`,
    `decay_factors`, absolute; the constant ones change one step *after* the event); "linear_decay" takes the product so
    far down to `end_learning_rate` at `total_steps`; "linear_cooldown" takes it to zero in the last `cooldown_steps`,
    and below after that.

    Args:
        config: the names under "factors", separated by `*`, and their numbers, Scenic's `lr_configs`; lengths need not
            be whole, but events must. What the factors do not use is refused, as it has no effect; a
            `base_learning_rate` of 1 is not, as Scenic wants one even where "constant" is not among the factors.

    Raises:
        TypeError: a name stands there that the factors do not use.
        ValueError: a factor is unknown, a number that it needs is missing or out of range.

    Examples:
        >>> config = {"factors": "constant*linear_warmup*rsqrt_decay", "base_learning_rate": 0.1, "warmup_steps": 10}
        >>> s = compound_lr_scheduler({**config, "timescale": 100})
        >>> s(5), s(10), s(310)
        (0.05, 0.1, 0.05)

    References:
        Scenic at 4a38d47 (2026-07-02), scenic/train_lib/lr_schedules.py. It computes in float32.
    """
    content = dictionary(_WHERE, config)
    if "factors" not in content:
        every = {each for numbers in _NAMES.values() for each in numbers}
        Section(_WHERE, 'names of factors under "factors"', read=("factors", *sorted(every))).nothing(content)
    factors = content["factors"]
    names = [part.strip() for part in factors.split("*")] if isinstance(factors, str) else [factors]
    for name in names:
        must(name in _NAMES, 'compound_lr_scheduler(config["factors"])', f"made of {', '.join(_NAMES)}", name)
    c = _Config(_taken(content, names))
    product: Schedule = Constant(1.0)
    for i, name in enumerate(names):
        if name == _DECAY:
            product = _linear_decay(c, product)
        else:
            factor = _FACTORS[name].make(c)
            product = factor if i == 0 else product * factor
    return product
