"""Remarks on the arguments of a call: what its numbers look like, and what single functions do with them."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from lrsched._core.check import Choice, Real, is_sequence
from lrsched._curves import Constant
from lrsched._draw.axis import number
from lrsched._lint.codes import Remark, said
from lrsched.compat._remarks.facts import Call
from lrsched.compat._tools import constraints_of
from lrsched.compat._tools import number as as_number

# Restarts of which the first step is looked at.
_RESTARTS = 12
# Updates that are compared.
_SOME = 1000


def ratio(library: str, warmup: str, arguments: Mapping[str, Any]) -> Iterator[Remark]:
    """Yield why a call may have been refused; `warmup` names the argument of the warm-up."""
    steps = arguments.get(warmup)
    if isinstance(steps, float) and 0.0 < steps < 1.0:
        yield Remark(
            "warmup-is-a-ratio",
            f"{warmup}={steps!r} counts steps in {library}, and looks like a part of the training",
            f"multiply it by the number of updates: {warmup}=int({steps!r} * updates)",
        )


def standing(last_epoch: int | None) -> Iterator[Remark]:
    """Yield what torch's `last_epoch` is."""
    if last_epoch not in (-1, None):
        yield Remark(
            "last-epoch",
            f"last_epoch={last_epoch!r} says where training stands, which is no part of a schedule: update t has s(t)",
            "torch wants the number of updates made less one and the optimizer's rate restored, and StepLR multiplies "
            "once more where that is a boundary: load the scheduler's state instead, or use ScheduleLR, whose state "
            "is one integer",
        )


def defaults(call: Call) -> Iterator[Remark]:
    """Yield lengths that nobody chose."""
    for name in (call.convention.length, call.convention.warmup):
        steps = call.count(name)
        if name and name not in call.given and steps > 1 and isinstance(call.arguments[name], int):
            yield Remark(
                "default-length",
                f"{name}={steps} is a default",
                "choose it for this training",
            )
    if "start_factor" in call.arguments and "start_factor" not in call.given:
        yield Remark(
            "start-is-a-part",
            f"the warm-up begins with {number(call.schedule(0))}, a third of the rate",
            "other libraries begin with 0 or a step of the line; give start_factor, which torch wants above 0",
        )


def boundaries(call: Call) -> Iterator[Remark]:
    """Yield what is odd about the boundaries of a staircase."""
    given = call.arguments.get(call.convention.bounds)
    steps = [int(step) for step in given] if is_sequence(given) or isinstance(given, Mapping) else []
    if not steps:
        return
    if steps != sorted(steps):
        yield Remark(
            "milestones-unsorted",
            f"{call.convention.bounds}={steps!r} is not in order, and is sorted here",
            "Keras, Paddle and timm want them in order: sort them, with what belongs to each",
        )
    repeated = [step for step, times in Counter(steps).items() if times > 1]
    if repeated:
        yield Remark(
            "milestones-repeated",
            f"step {repeated[0]} occurs more than once, and its factor counts each time",
            "name each milestone once",
        )
    for step in sorted(set(steps)):
        before, here, later = (call.schedule(max(step + d, 0)) for d in (-1, 0, 1))
        if step > 1 and call.warmup < step - 1 and before == here != later:
            yield Remark(
                "boundary-late",
                f"step {step} still has {number(here)}; {number(later)} begins with step {step + 1}",
                "torch, Optax, Paddle and MMEngine change at the boundary: take one off each",
            )
            return
        if step > 1 and call.warmup < step - 1 and call.schedule(step - 2) != before == here:
            yield Remark(
                "boundary-early",
                f"{number(here)} begins with step {step - 1}, one before the boundary {step}",
                "torch, Optax, Paddle and MMEngine change at the boundary: add one to each",
            )
            return


def _optax_factors(call: Call) -> Iterator[Remark]:
    """Optax's boundaries hold factors, Keras' and Paddle's hold rates."""
    scales = dict(sorted((call.arguments.get("boundaries_and_scales") or {}).items()))
    first = call.number("init_value") or 0.0
    if len(scales) and first < 1.0 and all(0.0 < value <= first for value in scales.values()):
        step, _ = list(scales.items())[-1]
        rates = [first, *scales.values()]
        wanted = {at: float(f"{b / a:.6g}") for at, a, b in zip(scales, rates, rates[1:], strict=False)}
        yield Remark(
            "scales-look-like-rates",
            f"{scales!r} holds factors, each on top of those before: from step {step} on the rate is "
            f"{number(call.schedule(step))}",
            f"if these are rates, as in Keras and Paddle, write {wanted!r}",
        )


def _without_steps(call: Call) -> Iterator[Remark]:
    """Optax and torch keep the first value where a transition has no steps."""
    for name in ("transition_steps", "warmup_steps", "total_iters"):
        value = call.arguments.get(name)
        if isinstance(value, int) and value <= 0 and isinstance(call.schedule, Constant):
            goal = "end_value" if "end_value" in call.arguments else "peak_value"
            last = call.number(goal) if goal in call.arguments else call.rate
            if call.name in ("LinearLR", "ConstantLR", "PolynomialLR") or last not in (None, call.schedule(0)):
                yield Remark(
                    "without-steps",
                    f"with {name}={value!r} the rate stays at {number(call.schedule(0))} for ever",
                    "give the transition at least one step, or leave it out",
                )


def _keras_integers(call: Call) -> Iterator[Remark]:
    value = call.arguments["initial_learning_rate"]
    if isinstance(value, int):
        yield Remark(
            "integer-rate",
            f"initial_learning_rate={value!r} is an integer, and Keras computes in the type of this number: every rate "
            "is cut to a whole one",
            f"write initial_learning_rate={float(value)!r}",
        )


def _keras_warm_up(call: Call) -> Iterator[Remark]:
    if call.arguments["warmup_target"] is None and call.count("warmup_steps"):
        yield Remark(
            "warmup-ignored",
            f"warmup_steps={call.count('warmup_steps')} has no effect without a warmup_target: {call.one} 0 has "
            f"{number(call.schedule(0))}",
            f"write initial_learning_rate=0.0, warmup_target={call.arguments['initial_learning_rate']!r}",
        )


def _missed(call: Call, kind: type[np.floating[Any]], first: int, growth: float) -> Iterator[Remark]:
    """Find the cycles whose first step a logarithm of that precision puts into the cycle before."""
    one, ratio, begin, cycle = kind(1.0), kind(growth), float(first), float(first)
    if growth == 1.0:
        return
    for k in range(1, _RESTARTS + 1):
        part = kind(begin) / kind(first)
        found = math.floor(np.log(one - part * (one - ratio)) / np.log(ratio))
        if found < k and begin == int(begin):
            yield Remark(
                "restart-missed",
                f"{call.library} finds the cycle by a logarithm in {kind.__name__}: step {int(begin)}, the first of "
                f"cycle {k}, has the lowest rate there; here it has {number(call.schedule(int(begin)))}",
                "harmless, but two runs of the same curve differ by one update",
            )
            return
        cycle *= growth
        begin += cycle


def _keras_restarts(call: Call) -> Iterator[Remark]:
    growth = call.number("t_mul") or 1.0
    yield from _missed(call, np.float32, call.count("first_decay_steps"), growth)


def _timm_restarts(call: Call) -> Iterator[Remark]:
    if int(call.arguments["cycle_limit"]) > 1 and not call.warmup:
        yield from _missed(call, np.float64, call.count("t_initial"), call.number("cycle_mul") or 1.0)


def _divisors(call: Call) -> Iterator[Remark]:
    """The same numbers end a one-cycle policy elsewhere: relative to the top, to the first value, or absolute."""
    s, n, top = call.schedule, call.length, call.top
    last = s(n) if n else 0.0
    if not n or last <= 0.0 or s(0) <= 0.0:
        return
    yield Remark(
        "one-cycle-divisors",
        f"from {number(s(0))} to {number(top)} at {call.one} {call.peak} and down to {number(last)}: the top over "
        f"{top / last:.3g}, the first rate over {s(0) / last:.3g}",
        f"the same curve has final_div_factor={s(0) / last:.6g} in torch and Optax, div_final={top / last:.6g} in "
        f"fastai and end_learning_rate={last:.6g} in Paddle; defaults are 1e4, 1e5 and 1e-4; torch has its top at "
        "pct_start * total_steps - 1, Optax one update later",
    )


def _torch_momentum(call: Call) -> Iterator[Remark]:
    given = call.arguments
    if given["cycle_momentum"] and given["field"] == "lr":
        yield Remark(
            "momentum-left-out",
            f"{call.name} cycles the momentum too, from {given['max_momentum']!r} to {given['base_momentum']!r} at the "
            "top of the rate and back; this schedule is the rate alone",
            f"write {call.name}(..., field='momentum') for that curve, and drive it by ScheduleLR(optimizer, "
            "momenta, field='momentum'), or 'betas[0]' of Adam, beside the ScheduleLR of the rate; or give torch "
            "cycle_momentum=False",
        )


def _fastai_momentum(call: Call) -> Iterator[Remark]:
    yield Remark(
        "momentum-left-out",
        "fit_one_cycle moves the momentum too, by default from 0.95 to 0.85 at the top of the rate and back; this "
        "schedule is the rate alone",
        f"write combined_cos({call.arguments['pct_start']!r}, 0.95, 0.85, 0.95, steps={call.arguments['steps']!r}) for "
        "that curve, with the moms of that call",
    )


def _default_peak(call: Call) -> Iterator[Remark]:
    """DeepSpeed sets the rate of a default where the optimizer's own was meant."""
    name = call.convention.rate
    if name not in call.given and (rate := call.rate) is not None:
        own = "the optimizer's own rate"
        yield said("default-peak", f"write {name}=<that rate>", peak=number(rate), name=name, own=own)


def _returns(call: Call) -> Iterator[Remark]:
    n, s = call.length, call.schedule
    if n and s(0) != s(n + 1) == s(n + 1000):
        yield Remark(
            "returns-to-base",
            f"after {n} steps the factor is taken back: {number(s(0))}, then {number(s(n + 1))}",
            "make the length that of the training where the factor is meant for all of it",
        )


def _versions(call: Call) -> Iterator[Remark]:
    """Versions of a library that give another curve for the same arguments."""
    if "version" in call.given:
        return
    options, found = constraints_of(call.function)["version"], []
    assert isinstance(options, Choice)
    for other in options.options:
        try:
            schedule = call.function(**call.arguments | {"version": other})
        except ValueError:  # what it did not have yet
            continue
        at = next((t for t in range(_SOME) if schedule(t) != call.schedule(t)), None)
        if at is not None:
            found.append(
                f"with version={other!r} update {at} has {number(schedule(at))}, not {number(call.schedule(at))}"
            )
    if found:
        yield Remark("library-changed", "; ".join(found), "name the version that trains; the docstring has their dates")


def _short_warm_up(call: Call) -> Iterator[Remark]:
    """A warm-up of less than a step, where the library takes one."""
    yield from ratio(call.library, call.convention.warmup, call.arguments)


def _solver(call: Call) -> Iterator[Remark]:
    """What stands in detectron2's section SOLVER and moves rates elsewhere, or not at all."""
    whole = call.arguments["cfg"]
    section = whole.get("SOLVER", whole)
    factor, world = (_of_text(section.get(name)) for name in ("BIAS_LR_FACTOR", "REFERENCE_WORLD_SIZE"))
    if factor not in (None, 1.0):
        yield Remark(
            "other-groups",
            f"BIAS_LR_FACTOR={factor!r} multiplies the rate of biases, which is another schedule",
            f"multiply this one for them: {factor!r} * schedule",
        )
    if world:
        yield Remark(
            "rescaled-by-trainer",
            f"REFERENCE_WORLD_SIZE={world!r}: on another number of workers detectron2's DefaultTrainer scales BASE_LR, "
            "MAX_ITER, WARMUP_ITERS and STEPS before it builds the schedule",
            "give the configuration of DefaultTrainer.auto_scale_workers",
        )
    name = section.get("LR_SCHEDULER_NAME", "WarmupMultiStepLR")
    if _of_text(section.get("BASE_LR_END")) and name != "WarmupCosineLR":
        yield Remark(
            "end-ignored",
            f"BASE_LR_END={section['BASE_LR_END']!r} has no effect on {name}",
            "write LR_SCHEDULER_NAME='WarmupCosineLR', or leave it out",
        )


def _of_text(content: Any) -> float | None:
    """Return a number of a configuration, which may be text."""
    found = as_number(Real(), content)
    return float(found) if isinstance(found, int | float) else None


Rule = Callable[[Call], Iterator[Remark]]
RULES: tuple[Rule, ...] = (defaults, boundaries)
SINGLE: dict[tuple[str, str], tuple[Rule, ...]] = {
    ("composer", "ConstantScheduler"): (_returns,),
    ("deepspeed", "WarmupDecayLR"): (_default_peak,),
    ("detectron2", "build_lr_scheduler"): (_solver,),
    ("fastai", "fit_one_cycle"): (_divisors, _fastai_momentum),
    ("gpt_neox", "AnnealingLR"): (_versions, _short_warm_up),
    ("keras", "CosineDecay"): (_keras_integers, _keras_warm_up),
    ("keras", "CosineDecayRestarts"): (_keras_integers, _keras_restarts),
    ("keras", "ExponentialDecay"): (_keras_integers,),
    ("keras", "InverseTimeDecay"): (_keras_integers,),
    ("keras", "PolynomialDecay"): (_keras_integers,),
    ("maxtext", "create_learning_rate_schedule"): (_versions,),
    ("megatron", "OptimizerParamScheduler"): (_short_warm_up,),
    ("mmengine", "ConstantLR"): (_returns,),
    ("mmengine", "OneCycleLR"): (_divisors,),
    ("optax", "cosine_onecycle_schedule"): (_divisors,),
    ("optax", "exponential_decay"): (_without_steps,),
    ("optax", "linear_onecycle_schedule"): (_divisors,),
    ("optax", "linear_schedule"): (_without_steps,),
    ("optax", "piecewise_constant_schedule"): (_optax_factors,),
    ("optax", "piecewise_interpolate_schedule"): (_optax_factors,),
    ("optax", "polynomial_schedule"): (_without_steps,),
    ("optax", "warmup_constant_schedule"): (_without_steps,),
    ("paddle", "OneCycleLR"): (_divisors,),
    ("timm", "CosineLRScheduler"): (_timm_restarts,),
    ("torch", "ConstantLR"): (_returns, _without_steps),
    ("torch", "LinearLR"): (_without_steps,),
    ("torch", "CyclicLR"): (_torch_momentum,),
    ("torch", "OneCycleLR"): (_divisors, _torch_momentum),
    ("torch", "PolynomialLR"): (_without_steps,),
}
