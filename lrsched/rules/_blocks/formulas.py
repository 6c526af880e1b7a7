"""The numbers that the body of a rule computes, as a function of learning rate and step.

A body computes its numbers anew for each update: `1 - b1**t`, say, which is a constant of what is recorded then. Here
it gets stand-ins for learning rate and step too, and what it does to them becomes the text of a function, such as

    def numbers(lr, step):
        n2 = step + 1
        n3 = n2 * -0.10536051565782628
        n4 = expm1(n3)
        return n4,

so that what was recorded serves every update. A body that branches on them, or asks for what a stand-in has not,
raises, and is recorded anew each time. So is one that computes Python numbers otherwise than arrays: `holds` finds out.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from lrsched.rules._blocks.tape import Traced

SIGNS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**",
    "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=",
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(math, name) for name in ("sqrt", "exp", "expm1", "log", "log1p", "sin", "floor")},
    "abs": abs, "maximum": max, "minimum": min,
}  # fmt: skip


class Formulas:
    """Writes down what is done with learning rate and step."""

    def __init__(self) -> None:
        self.lr, self.step = Traced(self, 0, number=True), Traced(self, 1, number=True)
        self._names = ["lr", "step"]
        self._lines: list[str] = []

    def record(self, name: str, *inputs: Any) -> Traced:
        """Write an operation down and return its result; one with an array is recorded on the tape of this array."""
        for x in inputs:
            if isinstance(x, Traced) and x.tape is not self:
                return x.tape.record(name, *inputs)
        given = [self._names[x.index] if isinstance(x, Traced) else _text(x) for x in inputs]
        if name == "negative":
            text = f"-{given[0]}"
        elif name == "where":
            text = f"{given[1]} if {given[0]} else {given[2]}"
        elif name in FUNCTIONS:
            text = f"{name}({', '.join(given)})"
        elif name in SIGNS:
            text = f"{given[0]} {SIGNS[name]} {given[1]}"
        else:
            raise TypeError(f"numbers have no {name}")
        made = f"n{len(self._names)}"
        self._lines.append(f"{made} = {text}")
        self._names.append(made)
        return Traced(self, len(self._names) - 1, number=True)

    def text(self, wanted: Sequence[Traced]) -> str:
        """Return the function of learning rate and step that returns some numbers."""
        lines = [
            *self._lines,
            f"return {''.join(f'{self._names[x.index]}, ' for x in wanted)}" if wanted else "return ()",
        ]
        return "def numbers(lr, step):\n" + "".join(f"    {line}\n" for line in lines)


def _text(number: Any) -> str:
    if type(number) not in (int, float) or not math.isfinite(number):
        raise TypeError(f"no number that can be written down: {number!r}")
    return f"({number!r})"
