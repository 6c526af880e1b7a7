"""The command `lrsched`: look at schedules without writing a program."""

import argparse
import contextlib
import csv
import json
import math
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lrsched._command.convert import NAMES, convert
from lrsched._command.lint import lint, rate
from lrsched._command.shared import (
    COMMANDS,
    DTYPES,
    EPOCH,
    LABELS,
    SIZES,
    TEXTS,
    Args,
    UserError,
    budget_of,
    command,
    option,
    read_labels,
    read_schedules,
    reading_of,
    run_length,
    step_list,
    updates,
    whole,
)
from lrsched._curves import Schedule
from lrsched._draw.axis import number
from lrsched._draw.milestones import merged, milestones
from lrsched._draw.svg import common_horizon, svg
from lrsched._draw.terminal import plot_text

# Rows of a table that are evaluated at once.
_BLOCK = 65_536
_MOST_ROWS = 10_000_000


@command(
    "plot",
    "draw schedules in the terminal or as SVG",
    TEXTS,
    option("--steps", metavar="N", type=run_length(1), help="last step shown, and the run of lengths with units"),
    EPOCH,
    *SIZES,
    option("--svg", metavar="FILE", help="write a picture to FILE (- for the standard output) instead"),
    option("--log", action="store_true", help="logarithmic value axis"),
    option("--width", type=whole(24, 10_000), help="characters, or pixels with --svg"),
    option("--height", type=whole(4, 10_000), help="lines, or pixels with --svg"),
    option("--title", help="title of the SVG"),
    option("--ascii", action="store_true", help="draw without braille characters"),
    LABELS,
)
def _plot(args: Args) -> int:
    items = read_schedules(args.schedules, budget_of(args))
    labels = read_labels(args, len(items))
    if args.svg is not None:
        width, height = args.width or 640, args.height or 240
        log = args.log or None
        picture = svg(items, steps=args.steps, width=width, height=height, title=args.title, labels=labels, log=log)
        picture += "\n"
        if args.svg == "-":
            sys.stdout.write(picture)
        else:
            Path(args.svg).write_text(picture, encoding="utf-8")
        return 0
    screen = shutil.get_terminal_size()
    width = args.width or max(24, min(screen.columns - 1, 120))
    height = args.height or max(6, min(screen.lines - 6, 16))
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    plain = args.ascii or not _can_write("\u28ff\u2501")
    last = common_horizon(items, args.steps)
    print(plot_text(items, last, width, height, labels=labels, log=args.log, ascii_only=plain, colour=colour))
    if len(items) == 1:
        print()
        for m in merged(milestones(items[0], last)):
            print(f"  {m.step:>12,}  {number(m.value):>9}  {m.share:>4.0%}  {m.name}")
    return 0


def _can_write(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@command(
    "table",
    "print the values of schedules side by side",
    TEXTS,
    option("--steps", metavar="N", type=run_length(1), help="the run, of which every step is shown without --at"),
    EPOCH,
    *SIZES,
    option("--at", metavar="0,10%,2ep", type=step_list, help="these steps, also in units of the run of --steps"),
    option("--csv", action="store_true", help="comma-separated, with all digits"),
    option("--json", action="store_true", help="one JSON object, with all digits; null for what is not finite"),
    LABELS,
)
def _table(args: Args) -> int:
    if args.csv and args.json:
        raise UserError("--csv and --json exclude each other")
    budget = budget_of(args)
    items = read_schedules(args.schedules, budget)
    if args.at is not None:
        args.at = updates(args.at, budget)
    elif (args.steps or 0) > _MOST_ROWS:
        raise UserError(f"--steps must be at most {_MOST_ROWS} updates, got {args.steps}")
    names = read_labels(args, len(items)) or [repr(item) for item in items]
    rows = _rows(items, args)
    if args.json:
        steps, columns = [], [[] for _ in items]  # type: tuple[list[int], list[list[float | None]]]
        for step, values in rows:
            steps.append(step)
            for column, value in zip(columns, values, strict=True):
                column.append(value if math.isfinite(value) else None)
        print(json.dumps({"step": steps, "schedules": names, "values": columns}, allow_nan=False))
    elif args.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["step", *names])
        writer.writerows([step, *map(repr, values)] for step, values in rows)
    else:
        _print_table(names, rows)
    return 0


def _rows(items: Sequence[Schedule], args: Args) -> Iterator[tuple[int, list[float]]]:
    """Yield each step with the values of all schedules there."""
    steps: Sequence[int] = args.at or (range(args.steps) if args.steps is not None else _telling_steps(items))
    for begin in range(0, len(steps), _BLOCK):
        block = steps[begin : begin + _BLOCK]
        columns = [item(np.asarray(block, dtype=np.int64)).tolist() for item in items]
        yield from zip(block, map(list, zip(*columns, strict=True)), strict=True)


def _telling_steps(items: Sequence[Schedule]) -> list[int]:
    """Return ten even steps and the milestones."""
    last = common_horizon(items, None)
    named = {m.step for item in items for m in milestones(item, last)}
    return sorted(named | {last * i // 10 for i in range(11)})


def _print_table(names: Sequence[str], rows: Iterator[tuple[int, list[float]]]) -> None:
    keys = [chr(ord("A") + i) if i < 26 else f"#{i + 1}" for i in range(len(names))]
    short = sum(len(name) + 2 for name in names) <= 80
    heads = list(names) if short else keys
    if not short:
        for key, name in zip(keys, names, strict=True):
            print(f"{key}: {name}")
    widths = [max(12, len(head)) for head in heads]
    print(f"{'step':>12}" + "".join(f"  {head:>{wide}}" for head, wide in zip(heads, widths, strict=True)))
    for step, values in rows:
        print(f"{step:>12}" + "".join(f"  {v:>{wide}.6g}" for v, wide in zip(values, widths, strict=True)))


@command(
    "lint",
    "say what does not fit between schedules and a run; exit status 1 if there is an error",
    TEXTS,
    option("--steps", metavar="N", type=whole(1), help="length of the run, in --unit: 10000 or 10k"),
    option("--unit", choices=("update", "epoch"), default="update", help="what one step of the schedule is"),
    EPOCH,
    *SIZES,
    option("--lr", metavar="RATE", type=rate, help="the optimizer's own rate"),
    option("--strict", action="store_true", help="exit status 1 for warnings too"),
    option("--json", action="store_true", help="a JSON list with an object for each schedule"),
)
def _lint(args: Args) -> int:
    return lint(args)


@command(
    "convert",
    "print a schedule as the code of another library, as settings of a trainer, as JSON or as text",
    option("schedule", metavar="SCHEDULE", help="'Cosine(3e-4, 0, steps=1000)', - or @file"),
    option("--to", metavar="TARGET", choices=NAMES, required=True, help=f"one of {', '.join(NAMES)}"),
    option("--steps", metavar="N", type=run_length(1), help="updates of the run"),
    EPOCH,
    *SIZES,
)
def _convert(args: Args) -> int:
    return convert(args)


@command(
    "explain",
    "say what the configuration of a trainer says of schedules, optimizer and length, line by line",
    option("file", metavar="FILE", help="YAML, TOML, JSON, Python, or a script with arguments"),
    option("--format", metavar="NAME", help="where it is not to be recognised: transformers, megatron, ..."),
    option("--steps", metavar="N", type=run_length(1), help="updates of the run, where the file does not tell them"),
    EPOCH,
    *SIZES,
)
def _explain(args: Args) -> int:
    print(reading_of(Path(args.file), args.format, budget_of(args)).explain())
    return 0


@command(
    "demo",
    "train a small network with the same schedule in every framework",
    option("--out", metavar="DIR", help="where to write the picture"),
)
def _demo(args: Args) -> int:
    from lrsched.demo import main as demo

    return demo([] if args.out is None else ["--out", args.out])


@command(
    "build-cache",
    "compile rules for RuleOptimizer(compile=True) on a CPU, for runs on such machines that have no compiler",
    option("rules", metavar="RULE", nargs="+", help="'Yogi()', 'ClipByGlobalNorm(1.0) >> Adam()', ..."),
    option("--dtype", action="append", choices=DTYPES, help="of the parameters; float32 by default; repeatable"),
    option("--master", action="store_true", help="for RuleOptimizer(master=True)"),
    option("--maximize", action="store_true", help="for RuleOptimizer(maximize=True)"),
)
def _build_cache(args: Args) -> int:
    from lrsched._command.cache import build_cache

    return build_cache(args)


@command(
    "forecast",
    "predict the final loss of a run under each plan",
    option(
        "run", metavar="RUN", nargs="+", help="logs: CSV, JSON lines, trainer_state.json, a folder of TensorBoard ..."
    ),
    option("--horizon", metavar="N", type=whole(100), required=True, help="updates of the whole run"),
    EPOCH,
    *SIZES,
    option("--plan", metavar="SCHEDULE", action="append", help="a plan of the whole run, from update 0; repeatable"),
    option("--warmup", metavar="N", type=whole(0), default=0, help="updates of a linear warm-up before the first row"),
    option("--step", metavar="NAME", help="column of the update, or of the epoch, tokens or samples"),
    option("--lr", metavar="NAME", help="column or tag of the learning rate"),
    option("--loss", metavar="NAME", help="column or tag of the loss"),
    option("--svg", metavar="FILE", help="write a picture to FILE"),
)
def _forecast(args: Args) -> int:
    from lrsched._command.forecast import forecast

    return forecast(args)


@command(
    "bound",
    "rank schedules by the bound of convex optimisation, or carry them to another horizon",
    TEXTS,
    option("--steps", metavar="N", type=run_length(1), required=True, help="the run, in updates or a unit"),
    option("--to", metavar="N", type=whole(2), help="show what each schedule becomes for so many updates instead"),
    EPOCH,
    *SIZES,
    option("--json", action="store_true", help="a JSON list, with all digits"),
)
def _bound(args: Args) -> int:
    from lrsched._command.bound import bound

    return bound(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lrsched", description="Look at learning-rate schedules.")
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, entry in COMMANDS.items():
        sub = subparsers.add_parser(name, help=entry.help, description=entry.help)
        for item in entry.options:
            sub.add_argument(*item.names, **item.settings)
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lrsched-suite")
    except PackageNotFoundError:
        return "unknown (not installed)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments after the name of the program; by default those of the process.

    Returns:
        Exit status: 0, 1 where a command says so, or 2 for arguments that cannot be used.
    """
    if sys.stdout is None:  # closed before the process began
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # it stays open
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except OSError as error:
        # Python would complain once more when it closes the stream.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has seen enough
            return 0
        print(f"lrsched: {error}", file=sys.stderr)
        return 2


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    given = list(sys.argv[1:] if argv is None else argv)
    if given and "(" in given[0] and given[0][0] != "-":
        parser.error(f"a command comes first: write lrsched plot {shlex.join(given)}")
    args = parser.parse_args(given)
    if args.version:
        print(f"lrsched {_version()}")
        return 0
    if args.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        return COMMANDS[args.command].run(args)
    except BrokenPipeError:
        raise
    except (UserError, OSError, ValueError, MemoryError, ModuleNotFoundError) as error:
        print(f"lrsched {args.command}: {str(error) or 'it takes more memory than there is'}", file=sys.stderr)
        return 2
