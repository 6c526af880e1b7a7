"""`to_hf_kwargs`: a schedule as the arguments of the Hugging Face Trainer."""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from lrsched._curves import Complete, Schedule
from lrsched._translate.guesses import Guess, guesses
from lrsched._translate.proof import Configuration, Proof
from lrsched.arguments import Length, checked
from lrsched.compat import transformers

# Steps that are compared at once.
_BLOCK = 2**18
_RAMPS = ("linear", "cosine", "1-sqrt")


@checked
def to_hf_kwargs(schedule: Annotated[Schedule, Complete()], steps: Length) -> dict[str, Any]:
    """Return the arguments with which the Hugging Face Trainer follows a schedule.

    The result is proven before it is returned: the schedule that `compat.transformers.from_config` builds from it, the
    one of the Trainer, is compared with the given one at every step of the training. They differ by at most 1e-12 of
    the largest rate. It does not matter how the curve is written, nor what it does after the last update.

    Args:
        schedule: the schedule.
        steps: updates of the training, >= 1, which become `max_steps`; most types depend on them.

    Returns:
        `learning_rate`, `lr_scheduler_type`, `warmup_steps`, `lr_scheduler_kwargs` and `max_steps`, for
        `transformers.TrainingArguments`.

    Raises:
        TypeError: `schedule` is none.
        ValueError: no type gives this curve; the message names the nearest and what to do instead.

    Examples:
        >>> from lrsched import Cosine, Warmup
        >>> from lrsched import to_hf_kwargs
        >>> to_hf_kwargs(Warmup(500) >> Cosine(3e-4, 3e-5, steps=9_500), steps=10_000)["lr_scheduler_kwargs"]
        {'min_lr': 3e-05}

    References:
        transformers 5.23.0, optimization.py, get_scheduler, and trainer.py, create_scheduler.
    """
    proof = Proof(schedule, transformers.from_config, partial(_blocks, steps))
    return proof.first(
        _guesses(schedule, steps, proof),
        "to_hf_kwargs(schedule=...)",
        f"an lr_scheduler_type of transformers gives in {steps} steps",
        "to_source(schedule, 'transformers') prints code for it, and the Trainer takes a lrsched_torch.ScheduleLR as "
        "optimizers=(optimizer, scheduler)",
    )


def _blocks(total: int) -> Iterator[NDArray[np.int64]]:
    return (np.arange(start, min(start + _BLOCK, total)) for start in range(0, total, _BLOCK))


def _guesses(node: Schedule, total: int, proof: Proof) -> Iterator[tuple[str, Configuration]]:
    spread = {total * i // 13 for i in range(13)} | {total - 1, total - 2, 1, 2, 3}
    for seen in guesses(node, total):
        turns = {r.warmup for r in seen} | {r.warmup + r.stable for r in seen}
        few = {turn + shift for turn in turns for shift in (-1, 0, 1, 2)} | spread
        proof.look_at(t for t in few if 0 <= t < total)
        for name, reading in product(_FAMILIES, seen):
            for warmup, kwargs in _FAMILIES[name](reading, total):
                yield (
                    repr(name),
                    {
                        "learning_rate": reading.lr,
                        "lr_scheduler_type": name,
                        "warmup_steps": warmup,
                        "lr_scheduler_kwargs": kwargs,
                        "max_steps": total,
                    },
                )


Kwargs = Iterator[tuple[int, dict[str, Any]]]


def _given(**named: Any) -> dict[str, Any]:
    return {name: value for name, value in named.items() if value is not None}


def _other(value: Any, default: Any) -> Any:
    """Return a value, or None if it is the default."""
    return None if value == default else value


def _constant(r: Guess, total: int) -> Kwargs:
    if r.warmup == 0:
        yield 0, {}


def _plain(r: Guess, total: int) -> Kwargs:
    yield r.warmup, {}


def _cosine(r: Guess, total: int) -> Kwargs:
    yield r.warmup, _given(num_cycles=_other(_cycles(r, total - r.warmup), 0.5))


def _cycles(r: Guess, steps: int) -> float:
    """Return the turns of the wave in a number of steps."""
    return 0.5 * max(steps, 1) / r.half


def _inverse_sqrt(r: Guess, total: int) -> Kwargs:
    if r.timescale is not None:
        yield r.warmup, _given(timescale=_other(r.timescale, r.warmup or 10_000))


def _cosine_to_a_floor(r: Guess, total: int) -> Kwargs:
    yield r.warmup, _given(num_cycles=_other(_cycles(r, total - r.warmup), 0.5), min_lr=r.low)


def _polynomial(r: Guess, total: int) -> Kwargs:
    yield r.warmup, _given(lr_end=r.low, power=_other(r.power, 1.0))


def _restarts(r: Guess, total: int) -> Kwargs:
    # A guess of thousands of waves comes from a curve that is no wave.
    if r.restarts <= min(total, 1000):
        yield r.warmup, _given(num_cycles=_other(r.restarts, 1))


def _cosine_warmed_in_time(r: Guess, total: int) -> Kwargs:
    # The line has its top at its last update, and the wave its first step behind it.
    for warmup, first in ((r.warmup + 1, r.first / r.lr if r.lr else None), (1, None), (0, None), (1, r.first)):
        if first is r.first and r.lr:
            first = r.first / r.lr
        if first is not None and first * warmup == 1.0:
            first = None
        cycles = _other(_cycles(r, total - warmup), 0.5)
        yield warmup, _given(num_cycles=cycles, min_lr=r.low, warmup_lr_rate=first)


def _stable(r: Guess, total: int) -> Kwargs:
    if not r.lr:
        return
    end = r.warmup + r.stable - r.late + r.decay
    stable = None if end == total else max(r.stable - r.late, 0)
    cycles = 0.5 * r.decay / r.half if r.decay else 0.5
    for fall in _RAMPS:
        for rise in _RAMPS if r.warmup else _RAMPS[:1]:
            yield (
                r.warmup,
                _given(
                    num_decay_steps=r.decay,
                    num_stable_steps=stable,
                    warmup_type=_other(rise, "linear"),
                    decay_type=_other(fall, "cosine"),
                    min_lr_ratio=_other(r.low / r.lr, 0.0),
                    num_cycles=_other(cycles, 0.5) if fall == "cosine" else None,
                ),
            )


# The simplest first.
_FAMILIES = {
    "constant": _constant,
    "constant_with_warmup": _plain,
    "linear": _plain,
    "cosine": _cosine,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine_to_a_floor,
    "polynomial": _polynomial,
    "cosine_with_restarts": _restarts,
    "cosine_warmup_with_min_lr": _cosine_warmed_in_time,
    "warmup_stable_decay": _stable,
}
