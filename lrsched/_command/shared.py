"""What all sub-commands of `lrsched` share: how they are declared, and how they read schedules.

A sub-command is one function under `@command(name, help, *options)`; it gets the parsed arguments and returns the exit
status. A schedule is given as text, as `-` for the standard input, or as `@file.json` or `@file.txt`.
"""

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from lrsched._configs.document import is_ours, text_of
from lrsched._core.check import MAX_STEPS, Int, short
from lrsched._core.config import from_config
from lrsched._core.parse import parse_value
from lrsched._core.units import quantity
from lrsched._curves import Budget, Schedule, Template, is_pending

Args = argparse.Namespace
# What counts are written with, as in 10k.
_THOUSANDS = {"k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
# What is read of a file: a device like /dev/zero has no end.
MOST_BYTES = 2**26


class Option(NamedTuple):
    """The arguments of `argparse.ArgumentParser.add_argument`."""

    names: tuple[str, ...]
    settings: dict[str, Any]


class Command(NamedTuple):
    """A sub-command: one line of help, its options, and the function that runs it."""

    help: str
    options: tuple[Option, ...]
    run: Callable[[Args], int]


class UserError(Exception):
    """What the user wrote cannot be used; the message is all that he sees."""


COMMANDS: dict[str, Command] = {}


def option(*names: str, **settings: Any) -> Option:
    """Describe an option, with the arguments of `argparse.ArgumentParser.add_argument`."""
    return Option(names, settings)


def command(name: str, description: str, *options: Option) -> Callable[[Callable[[Args], int]], Callable[[Args], int]]:
    """Register the decorated function as the sub-command `name`."""

    def register(run: Callable[[Args], int]) -> Callable[[Args], int]:
        COMMANDS[name] = Command(description, options, run)
        return run

    return register


def whole(low: int, high: int = MAX_STEPS) -> Callable[[str], int]:
    """Return the argparse type of an int from `low` to `high`, which may be written as a whole float or as 10k."""

    def read(text: str) -> int:
        try:
            digits, thousands = text, 1
            if text[-1:].lower() in _THOUSANDS:
                digits, thousands = text[:-1], _THOUSANDS[text[-1].lower()]
            plain = thousands == 1 and "e" not in digits.lower()
            return Int(low, high)("", int(digits) if plain else float(Decimal(digits) * thousands))
        except (ArithmeticError, TypeError, ValueError):
            most = "2**53" if high == MAX_STEPS else high
            raise argparse.ArgumentTypeError(f"must be an int >= {low} and <= {most}, got {short(text)}") from None

    return read


def run_length(low: int, high: int = MAX_STEPS, *more: str) -> Callable[[str], int | str]:
    """Return the argparse type of the length of a run: an int as `whole` reads it, or a text such as 3ep or 300Btok.

    Args:
        low: the least int.
        high: the greatest.
        *more: units beside epochs, tokens and samples.
    """
    count = whole(low, high)

    def read(text: str) -> int | str:
        found = quantity(text)
        return text.strip() if found and found.unit in ("ep", "tok", "sp", *more) else count(text)

    return read


def step_list(text: str) -> list[int | str]:
    """Read steps that are separated by commas, in updates or in other units (an argparse type)."""
    return [run_length(0, MAX_STEPS, "dur")(item.strip()) for item in text.split(",")]


def updates(steps: Sequence[int | str], budget: Budget) -> list[int]:
    """Return the updates that steps in any unit are.

    Raises:
        UserError: a unit has no size.
    """
    with _options_named():
        return [step if isinstance(step, int) else budget(step) for step in steps]


DTYPES = ("float32", "float64", "bfloat16", "float16")
TEXTS = option("schedules", metavar="SCHEDULE", nargs="+", help="'Cosine(3e-4, 0, steps=1000)', - or @file")
# How much an update takes: with `--steps` the budget for lengths with units.
SIZES = tuple(
    option(f"--{noun}", metavar="N", type=whole(1), help=f"{told} an update, for lengths in '{unit}'")
    for noun, told, unit in (("tokens-per-step", "tokens of", "tok"), ("samples-per-step", "samples of", "sp"))
)
EPOCH = option("--steps-per-epoch", metavar="N", type=whole(1), help="updates of one epoch")
LABELS = option("--labels", metavar="A,B", help="names of the schedules, separated by commas")


def budget_of(args: Args, steps: int | None = None) -> Budget:
    """Return the budget that the options give, and leave in `args.steps` the updates of the run.

    Raises:
        UserError: the run is given in a unit whose size is not.
    """
    names = ("steps_per_epoch", "tokens_per_step", "samples_per_step")
    with _options_named():
        budget = Budget(steps=steps or args.steps, **{name: getattr(args, name, None) for name in names})
    args.steps = budget.steps
    return budget


@contextlib.contextmanager
def _options_named() -> Iterator[None]:
    """Call what a budget lacks by the name of its option."""
    try:
        yield
    except ValueError as error:
        text = re.sub(r"Budget\((\w+)=\.\.\.\)", lambda found: f"--{found[1].replace('_', '-')}", str(error))
        raise UserError(re.sub(r"( must be given .*), got Budget\(.*", r"\1", text)) from None


def read_schedules(texts: Sequence[str], budget: Budget) -> list[Schedule]:
    """Return the schedules that the command line names, those with units for a run of that budget.

    Raises:
        UserError: one of them cannot be read; the message points at the place.
    """
    if texts.count("-") > 1:
        raise UserError("- (the standard input) can be read only once")
    return [_read(text, budget) for text in texts]


# What names a file, also without @.
_FILE = re.compile(r"@.*|[^()\n]+\.(?:json|txt|ya?ml|toml)(?:#.*)?", re.DOTALL)


def _read(text: str, budget: Budget) -> Schedule:
    source = text
    try:
        if text == "-":
            source = "" if sys.stdin is None else sys.stdin.read(MOST_BYTES).removeprefix("\ufeff")
        elif _FILE.fullmatch(text):
            path, name = _file(text.removeprefix("@"))
            source = text_of(path, MOST_BYTES)
            if not is_ours(path, source):
                return read_file(path, budget, name)
        found = from_config(json.loads(source)) if source.lstrip().startswith("{") else parse_value(source, "schedule")
    except OSError as error:
        raise UserError(f"{text}: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{text}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise UserError(f"{text}: nests too deeply") from None
    except ValueError as error:  # a UnicodeDecodeError is one, too
        raise UserError(_point(source, str(error))) from None
    if isinstance(found, Template):
        with _options_named():
            found = found.build(budget)
    if not isinstance(found, Schedule):
        raise UserError(f"a schedule is expected, got {found!r}")
    if is_pending(found):
        raise UserError(f"{found!r} takes its height from a neighbour: chain it with >>")
    return found


def _file(text: str) -> tuple[Path, str]:
    """Return the path in `file` or `file#name`, and the name of one of its schedules, by default the rate."""
    path, _, name = text.rpartition("#")
    return (Path(path), name) if path and not Path(text).exists() else (Path(text), "lr")


def read_file(path: Path, budget: Budget, name: str) -> Schedule:
    """Return a schedule of the configuration of a trainer.

    Raises:
        UserError: it cannot be read, or has no schedule of that name.
    """
    found: dict[str, Schedule] = reading_of(path, None, budget).schedules
    if name not in found:
        raise UserError(f"{path} must have a schedule of {name!r}, got {', '.join(found) or 'none'}")
    return found[name]


def reading_of(path: Path, form: str | None, budget: Budget) -> Any:
    """Return what the configuration of a trainer says; what it tells itself comes before the budget.

    Raises:
        UserError: it cannot be read.
    """
    from lrsched._configs.reading import read_source

    with _options_named():
        try:
            return read_source(path, form, budget, strict=False)
        except (ModuleNotFoundError, OSError, TypeError) as error:
            raise UserError(str(error)) from None


def _point(source: str, message: str) -> str:
    """Add the line of the text to a message, with a caret under the column that it names."""
    place = re.match(r"line (\d+), column (\d+)", message)
    lines = source.splitlines()
    if place is None or not 1 <= int(place[1]) <= len(lines):
        return message
    column = min(int(place[2]), len(lines[int(place[1]) - 1]) + 1) - 1
    begin = max(0, column - 60)
    line = lines[int(place[1]) - 1][begin : begin + 100]
    return f"{message}\n  {line}\n  {' ' * (column - begin)}^"


def read_labels(args: Args, count: int) -> list[str] | None:
    """Return the names given to `count` schedules, or None where none are given."""
    labels = args.labels.split(",") if args.labels else None
    if labels and len(labels) != count:
        raise UserError(f"--labels must name each of the {count} schedules, got {args.labels!r}")
    return labels
