"""What some results need of a list of steps that make one from another."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

Step = TypeVar("Step")
_NAME = re.compile(r"\b[A-Za-z_]\w*")


def needed(
    steps: Sequence[Step], wanted: Iterable[Any], made: Callable[[Step], Any], read: Callable[[Step], Iterable[Any]]
) -> list[Step]:
    """Return the steps that make what is wanted, or what such a step reads, in their order.

    Args:
        steps: each after those that make what it reads.
        wanted: what is to be made.
        made: what a step makes; None if it is needed whatever is wanted.
        read: what it reads.

    Examples:
        >>> needed(["a=b", "c=d", "e=a"], "e", lambda step: step[0], lambda step: step[2])
        ['a=b', 'e=a']
    """
    missing, found = set(wanted), []
    for step in reversed(steps):
        name = made(step)
        if name is None or name in missing:
            missing.update(read(step))
            found.append(step)
    return found[::-1]


def needed_lines(lines: Sequence[str], result: str) -> list[str]:
    """Return lines of Python without the assignments to names that neither the result nor a line kept reads.

    Args:
        lines: each an assignment `name = expression`, or the head of a block, which is kept.
        result: an expression.

    Examples:
        >>> needed_lines(["a = t + 1", "b = t / 2", "if a < 3:", " c = a"], "c * t")
        ['a = t + 1', 'if a < 3:', ' c = a']
    """

    def sides(line: str) -> tuple[str | None, str]:
        name, is_assignment, expression = line.strip().partition(" = ")
        return (name, expression) if is_assignment else (None, line)

    return needed(lines, _NAME.findall(result), lambda line: sides(line)[0], lambda line: _NAME.findall(sides(line)[1]))
