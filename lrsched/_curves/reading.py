"""`parse`: a schedule from its text."""

from collections.abc import Callable, Mapping
from typing import Any

from lrsched._core.parse import parse_value
from lrsched._curves.schedule import Schedule
from lrsched._curves.template import Template


def parse(text: str, *, functions: Mapping[str, Callable[[Any], Any]] | None = None) -> Schedule | Template:
    """Build the schedule that a text describes: the inverse of `repr`.

    Args:
        text: what `repr` of a schedule prints, for example `"Warmup(500) >> Cosine(3e-4, 0, steps=9_500)"`; calls of
            recipes and of other libraries' functions, `"torch.OneCycleLR(max_lr=0.1, total_steps=100)"`, too. Numbers
            may be computed, `steps=10*1000`. Lengths may have units, `Warmup(5%)` or `Warmup('3ep')`, and 10k is 10000.
        functions: what names of functions in it stand for, beside those that the program has registered.

    Returns:
        The schedule; `parse(repr(s)) == s`. A text with units gives a `Template`; `Template(text).build(budget)` is
        a schedule whatever the text. Nothing but the constructors of schedules, the recipes and those functions is ever
        called, and nothing imported.

    Raises:
        TypeError: `text` is not a str, or `functions` no dictionary of functions.
        ValueError: the text is not a schedule; the message names line and column.

    Examples:
        >>> from lrsched import Budget, parse
        >>> parse("Warmup(2) >> Constant(0.1)")
        Linear(0.0, 0.1, steps=2) >> Constant(0.1)
        >>> parse("Warmup(5%) >> Constant(0.1)").build(Budget(steps=1000))
        Linear(0.0, 0.1, steps=50) >> Constant(0.1)
    """
    try:
        return parse_value(text, "schedule", functions)  # type: ignore[no-any-return]  # what it finds in the text
    except ValueError as error:
        raise ValueError(f"parse(text): {error}") from None


# What looks for functions that make schedules, as jsonargparse does, asks at run time whether this is one.
parse.__annotations__["return"] = Schedule
