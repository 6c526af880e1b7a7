"""`to_source`: a schedule as the code of another library, without this one."""

import re
from itertools import count
from typing import Annotated

from lrsched._core.check import Choice
from lrsched._curves import Chain, Complete, Schedule
from lrsched._translate import native as native
from lrsched._translate.dialects import Jax, Keras, Python
from lrsched._translate.formula import function
from lrsched.arguments import checked

TARGETS = ("torch", "keras", "optax", "transformers")


@checked
def to_source(schedule: Annotated[Schedule, Complete()], target: Annotated[str, Choice(TARGETS)]) -> str:
    """Return native code for the same curve that runs without this library.

    Where the library has a schedule of that curve, the code calls it; where it has not, the formula is written out: a
    function for `LambdaLR`, a `LearningRateSchedule`, a function of `jax.numpy`. For torch and transformers the code
    also builds an optimizer, for a `model` of yours, since the rate lives there; take any other, with the same `lr`.

    The code defines `schedule` (Keras, Optax) or `scheduler` (torch, transformers). Keras and Optax compute in float32.

    Args:
        schedule: the schedule.
        target: "torch", "keras", "optax" or "transformers".

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
    lines = {"torch": _torch, "keras": _keras, "optax": _optax, "transformers": _transformers}[target](schedule)
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


def _optax(node: Schedule) -> list[str]:
    text = native.optax(node)
    if text is not None:
        return [f"schedule = {text}"]
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


def _keras(node: Schedule) -> list[str]:
    text = native.keras(node)
    if text is not None:
        return [f"schedule = {text}"]
    tables, lines = function(node, Keras(), "__call__", count(1))
    body = ["    step = ops.cast(step, keras.config.floatx())", *lines[1:]]
    methods = ["def __call__(self, step):", *body, "", "def get_config(self):", "    return {}"]
    head = "class LearningRate(keras.optimizers.schedules.LearningRateSchedule):"
    definition = [head, *(f"    {line}" if line else "" for line in methods)]
    return [*_defined(tables, definition), "schedule = LearningRate()"]


def _optimizer(lr: float, note: str = "") -> str:
    return f"optimizer = torch.optim.SGD(model.parameters(), lr={lr!r}){note}"


def _torch(node: Schedule) -> list[str]:
    for lr in _heights(node):
        found = _torch_native(node, lr)
        if found is not None:
            return [_optimizer(lr), *found]
    lines = _defined(*function(node, Python(), "learning_rate", count(1)))
    note = "  # the function gives the rate itself"
    return [*lines, _optimizer(1.0, note), "scheduler = LambdaLR(optimizer, learning_rate)"]


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


def _transformers(node: Schedule) -> list[str]:
    found = native.transformers(node)
    if found is None:
        return _torch(node)
    text, lr = found
    return [_optimizer(lr), f"scheduler = {text}"]
