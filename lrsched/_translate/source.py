"""`to_source`: a schedule as the code of another library, without this one."""

import re
from itertools import count
from typing import Annotated
from zlib import crc32

import numpy as np

from lrsched._core.check import Choice
from lrsched._curves import Chain, Complete, Schedule, Table
from lrsched._draw.samples import horizon, sample
from lrsched._translate import native as native
from lrsched._translate.dialects import Jax, Keras, Python
from lrsched._translate.forms import forms
from lrsched._translate.formula import function
from lrsched.arguments import LengthOrNone, checked

# A function that cannot be written down is a table of so many values at most.
_MOST_VALUES = 10_000
TARGETS = ("torch", "keras", "optax", "transformers")


@checked
def to_source(
    schedule: Annotated[Schedule, Complete()], target: Annotated[str, Choice(TARGETS)], steps: LengthOrNone = None
) -> str:
    """Return native code for the same curve that runs without this library.

    Where the library has a schedule of that curve, the code calls it; where it has not, the formula is written out: a
    function for `LambdaLR`, a `LearningRateSchedule`, a function of `jax.numpy`. For torch and transformers the code
    also builds an optimizer, for a `model` of yours, since the rate lives there; take any other, with the same `lr`.

    With `steps` only the updates of the run count, and it does not matter how the curve is written: what a library has
    a name for is found, and compared with the schedule at each of them. Without, the code gives the same rates for
    ever, also where another function of the library, which differs after the end, has the better name.

    The code defines `schedule` (Keras, Optax) or `scheduler` (torch, transformers). Keras and Optax compute in float32.
    A class for Keras is registered: a program that runs the code loads models that were saved with it.

    Args:
        schedule: the schedule.
        target: "torch", "keras", "optax" or "transformers".
        steps: updates of the run, at least 1, or None for a run without end.

    Returns:
        The code, ending with a line break.

    Raises:
        TypeError: `schedule` is none.
        ValueError: it lacks a height, or the target is unknown.

    Examples:
        >>> from lrsched import Cosine, Warmup
        >>> from lrsched import to_source
        >>> print(to_source(Warmup(500) >> Cosine(3e-4, 0.0, steps=9_500), "optax"), end="")
        import optax
        <BLANKLINE>
        schedule = optax.warmup_cosine_decay_schedule(init_value=0.0, peak_value=0.0003, warmup_steps=500, \
decay_steps=10000)
    """
    write = {"torch": _torch, "keras": _keras, "optax": _optax, "transformers": _transformers}[target]
    seen = []
    for form in forms(schedule, steps):
        lines = write(form, steps)
        if lines is not None:
            break
        seen.append(form)
    else:
        shortest = min(seen, key=lambda form: len(repr(form)))
        write_out = {"keras": _keras_class, "optax": _optax_function}.get(target, _torch_function)
        try:
            lines = write_out(shortest)
        except TypeError:  # an operation that other languages have not
            if steps is None or steps > _MOST_VALUES:
                raise
            lines = write_out(Table(tuple(np.asarray(schedule(np.arange(steps))).tolist())))
    return "\n".join([*_imports(lines), *lines]) + "\n"


# What a line uses and what must be imported for it.
_STANDARD = {"bisect": "import bisect", "math": "import math"}
_MODULES = {
    "jnp": "import jax.numpy as jnp",
    "keras": "import keras",
    "optax": "import optax",
    "torch": "import torch",
    "ops": "from keras import ops",
}
_FUNCTIONS = {
    r"\w+LR|CosineAnnealingWarmRestarts": "torch.optim.lr_scheduler",
    r"get_\w*schedule\w*": "transformers.optimization",
}


def _imports(lines: list[str]) -> list[str]:
    code = "\n".join(lines)

    def used(names: dict[str, str]) -> list[str]:
        return [text for name, text in names.items() if re.search(rf"(?<![\w.]){name}\.", code)]

    standard, others = used(_STANDARD), used(_MODULES)
    for pattern, module in _FUNCTIONS.items():
        names = sorted(set(re.findall(rf"(?<![\w.])(?:{pattern})(?=\()", code)))
        if names:
            others.append(f"from {module} import {', '.join(names)}")
    return [*standard, *([""] if standard else []), *others, ""]


def _defined(tables: list[str], lines: list[str]) -> list[str]:
    """Return definitions with the blank lines around them."""
    return [*tables, "", *([""] if tables else []), *lines, "", ""]


def _optax(node: Schedule, steps: int | None) -> list[str] | None:
    text = native.optax(node)
    return None if text is None else [f"schedule = {text}"]


def _optax_function(node: Schedule) -> list[str]:
    names = count(1)
    if not isinstance(node, Chain):
        return _defined(*function(node, Jax(), "schedule", names))[:-2]
    lines, calls = [], []
    for i, part in enumerate(node.parts, start=1):
        text = native.optax(part)
        if text is None:
            text = f"part_{i}"
            lines += _defined(*function(part, Jax(), text, names))
        calls.append(f"        {text},")
    items = ["    [", *calls, "    ],", f"    boundaries={list(node.starts[1:])},"]
    return [*lines, "schedule = optax.join_schedules(", *items, ")"]


def _keras(node: Schedule, steps: int | None) -> list[str] | None:
    text = native.keras(node)
    return None if text is None else [f"schedule = {text}"]


def _keras_class(node: Schedule) -> list[str]:
    tables, lines = function(node, Keras(), "__call__", count(1))
    body = ["    step = ops.cast(step, keras.config.floatx())", *lines[1:]]
    methods = ["def __call__(self, step):", *body, "", "def get_config(self):", "    return {}"]
    head = "class LearningRate(keras.optimizers.schedules.LearningRateSchedule):"
    # Another curve in the same program is another package, so that each model finds its own.
    mark = crc32("\n".join([*tables, *lines]).encode())
    register = f'@keras.saving.register_keras_serializable(package="learning_rate_{mark:08x}")'
    definition = [register, head, *(f"    {line}" if line else "" for line in methods)]
    return [*_defined(tables, definition), "schedule = LearningRate()"]


def _optimizer(lr: float) -> str:
    return f"optimizer = torch.optim.SGD(model.parameters(), lr={lr!r})"


def _torch(node: Schedule, steps: int | None) -> list[str] | None:
    if steps is not None and (cycle := native.torch_cycle(node, steps)):
        return [_optimizer(cycle[1]), f"scheduler = {cycle[0]}"]
    for lr in _heights(node):
        found = _torch_native(node, lr)
        if found is not None:
            return [_optimizer(lr), *found]
    return None


def _torch_function(node: Schedule) -> list[str]:
    lines = _defined(*function(node, Python(), "learning_rate", count(1)))
    peak = max([*_heights(node), float(sample(node, horizon(node)).values.max())])
    if peak <= 0.0:
        peak = 1.0
    return [*lines, _optimizer(peak), f"scheduler = LambdaLR(optimizer, lambda step: learning_rate(step) / {peak!r})"]


def _torch_native(node: Schedule, lr: float) -> list[str] | None:
    """Return the lines that build the scheduler for an optimizer of the rate `lr`, or None."""
    text = native.torch_stairs(node) if lr == node(0) else None
    text = text or native.torch(node, lr)
    if text is not None:
        return [f"scheduler = {text}"]
    if not isinstance(node, Chain):
        return None
    last = len(node.parts) - 1
    texts = [native.torch(part, lr, last=i == last) for i, part in enumerate(node.parts)]
    if any(text is None or text.startswith("CyclicLR") for text in texts):
        return None
    items = ["    [", *(f"        {text}," for text in texts), "    ],", f"    milestones={list(node.starts[1:])},"]
    return ["scheduler = SequentialLR(", "    optimizer,", *items, ")"]


def _heights(node: Schedule) -> list[float]:
    """Return the rates that an optimizer may have for a native scheduler, the largest first."""
    ends = {part(step) for part in native.parts(node) for step in (0, part.length) if step is not None}
    return sorted((height for height in ends if height > 0.0), reverse=True)


def _transformers(node: Schedule, steps: int | None) -> list[str] | None:
    found = native.transformers(node)
    if found is None:
        return _torch(node, steps)
    text, lr = found
    note = "  # stays at 0 after its end, where a plain cosine would rise again"
    return [_optimizer(lr), f"scheduler = {text}{note if 'hard_restarts' in text and steps is None else ''}"]
