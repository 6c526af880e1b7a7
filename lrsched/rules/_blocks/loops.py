"""NumPy arrays of a medium size updated in place one after the other, by a loop that is written for the body of a rule.

What is stacked must be gathered and handed out again, which takes longer than a few calls of NumPy on a thousand
elements. Here a `Recording` becomes the text of a function, such as this one of `SGD`:

    def loop(columns, x3, b0):
        for x0, x1 in columns:
            multiply_(x3, x1, b0)
            subtract_(x0, b0, x0)

The arrays of a tensor are called `x` with their place on the tape, and so are constants; buffers are `b`. The text is
the same for every learning rate, so it is compiled once.
"""

from collections.abc import Sequence
from functools import lru_cache
from types import CodeType
from typing import Any

import numpy as np

from lrsched.rules._blocks.recording import Recording, Update
from lrsched.rules._blocks.tape import Program, program

# The fewest elements of tensors that are updated so, and the most operations.
SHORTEST, FEW = 2**9, 6


def takes(update: Update, recording: Recording, those: Sequence[int], numbers: Sequence[bool]) -> bool:
    """Return whether some tensors of one shape are updated by a loop."""
    if not update.donate or not update.uniform or any(numbers) or update.xp.name != "numpy":
        return False
    few = recording.elementwise and len(recording.tape.operations) <= FEW
    return (
        few
        and SHORTEST <= update.olds[0][those[0]].size <= update.library.sizes().small
        and all(update.library.writable([column[i] for i in those]) for column in update.olds)
    )


def loop(update: Update, recording: Recording, those: Sequence[int]) -> None:
    """Update some tensors of one shape."""
    count = len(update.olds)
    do = program(recording.tape, recording.results, [True] * count, recording.inputs)
    reads = {place for _, inputs, _, _ in do.steps for place in inputs}
    constants = tuple(sorted(reads & recording.constants.keys()))
    space: dict[str, Any] = {f"{name}_": function for name, function in update.library.functions.items()}
    exec(_compiled(_text(do, recording.tape.places, (*recording.inputs, recording.g), constants)), space)
    columns = [[column[i] for i in those] for column in (*update.olds, update.gs)]
    buffers = [np.empty(columns[0][0].shape, update.wide) for _ in range(do.buffers)]
    space["loop"](zip(*columns, strict=True), *map(recording.constants.__getitem__, constants), *buffers)
    for new, column in zip(update.news, columns, strict=False):
        for i, x in zip(those, column, strict=True):
            new[i] = x


@lru_cache(maxsize=256)
def _compiled(text: str) -> CodeType:
    return compile(text, "<loop over arrays>", "exec")


def _text(do: Program, places: int, inputs: tuple[int, ...], constants: tuple[int, ...]) -> str:
    """Return the function for a program.

    Args:
        do: the program; its results replace all but the last of the inputs.
        places: of the tape.
        inputs: the places of the arrays of a tensor.
        constants: the places of the numbers that it reads.
    """
    names = [f"x{i}" for i in (*range(places), *inputs[:-1])] + [f"b{i}" for i in range(do.buffers)]
    lines = []
    for operation, taken, made, writes in do.steps:
        given = ", ".join(names[i] for i in taken)
        lines.append(f"{operation}_({given}, {names[made]})" if writes else f"{names[made]} = {operation}_({given})")
    for i, place in enumerate(do.wanted):
        if place != places + i:
            lines.append(f"copy_({names[place]}, {names[places + i]})")
    own = ", ".join(["columns", *(f"x{i}" for i in constants), *(f"b{i}" for i in range(do.buffers))])
    head = f"def loop({own}):\n    for {', '.join(f'x{i}' for i in inputs)} in columns:\n"
    return head + "".join(f"        {line}\n" for line in lines)
