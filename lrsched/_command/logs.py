"""Logs of runs, as the loggers of this field write and export them.

A file is read into sheets: a table of columns, or one series for each tag. Then the columns of the step, the rate and
the loss are looked for, by name or by their usual names, in all sheets of all files; steps in epochs, tokens or samples
become updates; of what was logged twice, before and after a restart, the last counts.
"""

import csv
import difflib
import gzip
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrsched._command.shared import MOST_BYTES, UserError
from lrsched._configs.document import text_of
from lrsched._core.check import MAX_STEPS
from lrsched.installed import needs

# The names that are understood without asking, the best first; also as `group/name` and `run - name`.
STEP = ("global_step", "step", "iteration", "iter", "num_updates", "update", "updates", "_step")
TOKENS = ("tokens", "num_tokens", "num_input_tokens_seen", "total_tokens", "consumed_tokens", "tokens_seen")
SAMPLES = ("samples", "num_samples", "consumed_samples", "samples_seen", "examples")
EPOCH = ("epoch", "epochs")
LR = ("lr", "learning_rate")
LOSS = ("loss", "train_loss", "training_loss", "train_loss_step")
# What the other columns of a log of `key, value, step` rows may be called.
KEYS = ("key", "metric", "metric_name", "name", "tag")
# A loss of other data than those of the training is taken only if it is asked for.
OTHERS = ("val", "valid", "validation", "eval", "test", "dev")
# A log whose steps fall back more often than this is in no order, and has not been started again.
RESTARTS = 0.1
# Files in a folder that hold a log.
FILES = ("metrics.csv", "trainer_state.json", "history.csv", "log.csv", "training.log", "progress.csv", "metrics.jsonl")
_SHOWN = 12


class LoggedRun(NamedTuple):
    """What was logged of a run; the arrays have one length."""

    step: NDArray[np.int64]
    lr: NDArray[np.float64]  # on the line between its neighbours where it was not logged
    loss: NDArray[np.float64]  # NaN where it was not logged
    told: NDArray[np.bool_]  # where the rate was logged
    notes: tuple[str, ...]  # what the reader has assumed or left out


class Wanted(NamedTuple):
    """What the columns are called, and how long an update is in other units; None is found out."""

    step: str | None = None
    lr: str | None = None
    loss: str | None = None
    steps_per_epoch: int | None = None
    tokens_per_step: int | None = None
    samples_per_step: int | None = None


_FOUND = Wanted()


class Sheet(NamedTuple):
    """A table of a file: its columns, and the place and the cells of each row; an empty cell is None."""

    path: Path
    names: list[str]
    rows: Iterable[tuple[str, Sequence[Any]]]


def read_run(paths: Sequence[Path], wanted: Wanted = _FOUND) -> LoggedRun:
    """Read a run from the logs of one or more files or folders.

    Args:
        paths: CSV, JSON or JSON lines, also compressed by gzip; folders of TensorBoard, MLflow, Lightning or a Trainer.
        wanted: names of the columns or tags, and sizes of an update.

    Raises:
        UserError: there is no such run in them; the message names the line, or what there is instead.
    """
    sheets = [sheet for path in paths for sheet in _sheets(path)]
    where = ", ".join(map(str, paths))
    lr, loss = (
        _find(where, sheets, name, usual, option)
        for name, usual, option in ((wanted.lr, LR, "--lr"), (wanted.loss, LOSS, "--loss"))
    )
    notes = []
    if any(word in _plain(loss[1]).split("_") for word in ("smooth", "smoothed", "ema")):
        notes.append(f"{loss[1]!r} is smoothed by its name: an interval from it is too narrow")
    series = []
    for each, check in (lr, _rate), (loss, float):
        steps, values, twice = _series(*each, wanted, check)
        if twice:
            notes.append(
                f"{twice} of {twice + steps.size} values of {each[1]!r} were logged again later: the last count"
            )
        series.append((steps, values))
    (at, rate), (when, value) = series
    if not at.size or not when.size:
        raise UserError(f"{where}: there is no row with a step, a learning rate and a loss")
    step = np.union1d(at, when)
    losses = np.full(step.shape, np.nan)
    losses[np.searchsorted(step, when)] = value
    return LoggedRun(step, np.interp(step, at, rate), losses, np.isin(step, at), tuple(notes))


def _rate(value: float) -> float:
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"the learning rate must be a finite number >= 0, got {value}")
    return value


def _series(
    sheet: Sheet, name: str, wanted: Wanted, check: Callable[[float], float]
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Return the steps and the values of a column, in the order of steps, and how many were logged again later."""
    clock, update = _clock(sheet, wanted)
    places = [sheet.names.index(clock), sheet.names.index(name)] if clock else [-1, sheet.names.index(name)]
    logged: list[tuple[str, float, float]] = []
    for i, (where, row) in enumerate(sheet.rows):
        try:
            cells = [i if place < 0 else row[place] for place in places]
            if None not in cells:
                logged.append((where, float(cells[0]), float(cells[1])))
        except (IndexError, TypeError, ValueError):
            shown = ",".join("" if cell is None else str(cell) for cell in row)
            raise UserError(f"{where}: {clock}, {name} must be numbers, got {shown!r}") from None
    # Keras and Lightning number epochs from 0 and log at their end; a Trainer logs how many have passed.
    numbered = all(step.is_integer() for _, step, _ in logged)
    steps: list[int] = []
    values: list[float] = []
    for where, step, value in logged:
        try:
            steps.append(update(step, numbered))
            values.append(check(value))
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
    found, order = np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64)
    if np.count_nonzero(np.diff(found) < 0) > max(3, RESTARTS * found.size):
        sort = np.argsort(found, kind="stable")
        found, order = found[sort], order[sort]
    # What a later row goes back before belongs to a part of the run that was given up.
    later = np.minimum.accumulate(np.append(found, MAX_STEPS)[::-1])[::-1][1:]
    kept = found < later
    return found[kept], order[kept], int(found.size - np.count_nonzero(kept))


def _whole(step: float, numbered: bool = True) -> int:
    if not (step.is_integer() and 0 <= step < MAX_STEPS):
        raise ValueError(f"the step must be an int >= 0, got {step} (below 2**53)")
    return int(step)


def _clock(sheet: Sheet, wanted: Wanted) -> tuple[str, Callable[[float, bool], int]]:
    """Return the column that counts the run, "" for the number of the row as the epoch, and what makes it updates."""
    units = (
        (TOKENS, wanted.tokens_per_step, "tokens", "--tokens-per-step"),
        (SAMPLES, wanted.samples_per_step, "samples", "--samples-per-step"),
        (EPOCH, wanted.steps_per_epoch, "epochs", "--steps-per-epoch"),
    )
    name = wanted.step
    if name is None:
        for usual in (STEP, *(names for names, *_ in units)):
            if found := _usual(sheet.names, usual):
                name = found[0]
                break
    elif name not in sheet.names:
        raise _absent(str(sheet.path), sheet.names, repr(name), "--step", name)
    if name is None and "" in sheet.names:  # lists, one item an epoch
        name = ""
    if name is None:
        raise _absent(str(sheet.path), sheet.names, "'step'", "--step", "step")
    plain = _plain(name)
    for names, size, noun, option in units:
        if plain in names or noun[:-1] in plain or (name == "" and names is EPOCH):
            if size is None:
                raise UserError(
                    f"{sheet.path}: {name or 'its lists'!r} counts {noun}: say how many an update has, {option}"
                )
            return name, _updates_of(noun, size)
    return name, _whole


def _updates_of(noun: str, size: int) -> Callable[[float, bool], int]:
    """Return what makes an amount the last update that it holds: the first is over after `size` tokens."""

    def update(amount: float, numbered: bool) -> int:
        if not (math.isfinite(amount) and 0 <= amount < 2.0**63):
            raise ValueError(f"the number of {noun} must be >= 0 and finite, got {amount}")
        if noun == "epochs" and numbered:
            return _whole((amount + 1) * size - 1)
        return _whole(float(max(round(amount * size if noun == "epochs" else amount / size) - 1, 0)))

    return update


def _find(where: str, sheets: list[Sheet], name: str | None, usual: tuple[str, ...], option: str) -> tuple[Sheet, str]:
    """Return the sheet and the column that was asked for, or the first of a usual name."""
    every = [column for sheet in sheets for column in sheet.names if column]
    found = [name] if name is not None and name in every else _usual(every, usual) if name is None else []
    if not found:
        must = repr(name) if name is not None else " or ".join(map(repr, usual[:2]))
        raise _absent(where, every, must, option, name or usual[0])
    if len(found) > 1:
        shown = ", ".join(map(repr, found[:_SHOWN]))
        raise UserError(f"{where}: which of {len(found)} runs? {option} must be one of {shown}")
    return next(sheet for sheet in sheets if found[0] in sheet.names), found[0]


def _usual(names: Sequence[str], usual: tuple[str, ...]) -> list[str]:
    """Return the column of the best usual name; several only if they are of several runs."""
    tests: tuple[Callable[[str, str], bool], ...] = (
        lambda name, wanted: name == wanted,
        lambda name, wanted: _plain(name) == wanted,
        lambda name, wanted: wanted in LR and _plain(name, whole=True).startswith("lr_"),  # Lightning: lr-Adam/pg1
        lambda name, wanted: wanted in LR + LOSS and _plain(name).endswith(f"_{wanted}"),
    )
    for test in tests:
        for wanted in usual:
            found = [name for name in names if test(name, wanted) and not _is_other(name)]
            if found:
                panel = len({name.rpartition(" - ")[0] for name in found}) > 1
                return found if panel else found[:1]
    return []


def _is_other(name: str) -> bool:
    return not set(_plain(name, whole=True).replace("/", "_").split("_")).isdisjoint(OTHERS)


def _plain(name: str, whole: bool = False) -> str:
    """Return a name without its run and, unless it is wanted whole, its group: "run - train/Loss" is "loss"."""
    plain = name.rpartition(" - ")[2].strip().lower().replace("-", "_").replace(" ", "_")
    return plain if whole else plain.rpartition("/")[2]


def _absent(where: str, names: Sequence[str], must: str, option: str, like: str) -> UserError:
    """Return the error that says what there is instead, what is nearest first."""
    near = difflib.get_close_matches(like, names, _SHOWN, 0.5)
    shown = [*near, *(name for name in names if name not in near)][:_SHOWN]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    only = ", ".join(shown) or "nothing"
    return UserError(f"{where}: there is no {must}, only {only}{more}" + (f" (name it with {option})" if names else ""))


def _sheets(path: Path) -> Iterator[Sheet]:
    """Yield the sheets of a file or a folder."""
    if path.is_dir():
        yield from _folder(path)
        return
    text = _text(path)
    begin = text.lstrip()[:1]
    yield from (_json(path, text) if begin and begin in "{[" else _csv(path, text))


def _text(path: Path) -> str:
    """Return the text of a file, which may be compressed.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    try:
        if path.suffix != ".gz":
            return text_of(path, MOST_BYTES)
        with gzip.open(path) as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path}: a file must have at most {MOST_BYTES} bytes")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: this is no CSV file: {error}") from None
    except ValueError as error:
        raise UserError(str(error)) from None
    except (OSError, EOFError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _folder(path: Path) -> Iterator[Sheet]:
    if any(path.rglob("*tfevents*")):
        yield from _events(path)
    elif (metrics := path / "metrics").is_dir() or (metrics := path).name == "metrics":
        for file in sorted(each for each in metrics.rglob("*") if each.is_file()):
            # MLflow writes the time, the value and the step, in the order of the time.
            lines = enumerate(_text(file).splitlines(), 1)
            rows = [(f"{file}, line {number}", line.split()[2:0:-1]) for number, line in lines if line.strip()]
            yield Sheet(path, ["step", file.relative_to(metrics).as_posix()], rows)
    elif found := [path / name for name in FILES if (path / name).is_file()]:
        yield from _sheets(found[0])
    else:
        raise UserError(
            f"{path}: there is no log in this folder: neither events of TensorBoard nor metrics/ nor {', '.join(FILES)}"
        )


def _events(path: Path) -> Iterator[Sheet]:
    with needs(f"{path}: reading events", "logs", "tensorboard"):
        events = import_module("tensorboard.backend.event_processing.event_accumulator")
        arrays = import_module("tensorboard.util.tensor_util")
    for folder in sorted({file.parent for file in path.rglob("*tfevents*")}):
        log = events.EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        log.Reload()
        for tag in log.Tags()["scalars"]:
            found = [(event.step, float(event.value)) for event in log.Scalars(tag)]
            yield Sheet(path, ["step", tag], [(f"{path}, {tag}, step {step}", (step, value)) for step, value in found])
        for tag in log.Tags()["tensors"]:
            every = ((event.step, arrays.make_ndarray(event.tensor_proto)) for event in log.Tensors(tag))
            found = [(step, float(array)) for step, array in every if np.ndim(array) == 0 and array.dtype.kind == "f"]
            yield Sheet(path, ["step", tag], [(f"{path}, {tag}, step {step}", (step, value)) for step, value in found])


def _csv(path: Path, text: str) -> Iterator[Sheet]:
    head = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise UserError(f"{path}: this is no CSV file: {error}") from None
    blank = next((i for i, row in enumerate(table) if any(cell.strip() for cell in row)), len(table))
    del table[:blank]
    names = [name.strip() for name in table[0]] if table else []
    comma = delimiter == ";"
    rows = [
        (f"{path}, line {line}", [_cell(cell.replace(",", ".") if comma else cell) for cell in row])
        for line, row in enumerate(table[1:], start=2 + blank)
        if any(cell.strip() for cell in row)
    ]
    low = [name.lower().replace(" ", "_") for name in names]
    if low == ["wall_time", "step", "value"]:  # TensorBoard's, one tag a file: run-NAME-tag-TAG.csv
        names[2] = path.name.partition(".")[0].rpartition("-tag-")[2]
    keys = [low.index(key) for key in KEYS if key in low]
    if keys and "value" in low and "step" in low:
        yield from _long(path, rows, keys[0], low.index("step"), low.index("value"))
        return
    for where, row in rows:
        if len(row) < len(names):
            raise UserError(f"{where}: a row must have {len(names)} cells, {', '.join(names)}, got {len(row)}")
    yield Sheet(path, names, rows)


def _long(path: Path, rows: Iterable[tuple[str, list[Any]]], key: int, step: int, value: int) -> Iterator[Sheet]:
    """Yield a sheet for each key of rows that hold one value each."""
    tags: dict[str, list[tuple[str, Sequence[Any]]]] = {}
    for where, row in rows:
        tags.setdefault(str(row[key]), []).append((where, (row[step], row[value])))
    for tag, found in tags.items():
        yield Sheet(path, ["step", tag], found)


def _cell(text: str) -> str | None:
    return None if text.strip().lower() in ("", "none", "null") else text


def _json(path: Path, text: str) -> Iterator[Sheet]:
    try:
        content = json.loads(text)
        rows = content.get("log_history", content) if isinstance(content, dict) else content
    except json.JSONDecodeError:
        rows = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except json.JSONDecodeError as error:
                    raise UserError(f"{path}, line {number}, column {error.colno}: {error.msg}") from None
                except RecursionError:
                    raise UserError(f"{path}, line {number}: nests too deeply") from None
    except RecursionError:
        raise UserError(f"{path}: nests too deeply") from None
    if isinstance(rows, dict):
        lists = {name: values for name, values in rows.items() if isinstance(values, list)}
        if lists:  # the history of Keras: a list of each, one item an epoch
            names = list(lists)
            length = max(map(len, lists.values()))
            table = [[values[i] if i < len(values) else None for values in lists.values()] for i in range(length)]
            clock = [] if _usual(names, STEP + EPOCH) else [""]
            numbered = [(f"{path}, item {i}", [*([i] if clock else []), *row]) for i, row in enumerate(table)]
            yield Sheet(path, [*clock, *names], numbered)
            return
        rows = [rows]
    flat = [dict(_flat(row)) for row in rows if isinstance(row, dict)]
    if not flat:
        raise UserError(f"{path}: this is no log: there is no row of names and values")
    names = list(dict.fromkeys(name for row in flat for name in row))
    yield Sheet(path, names, [(f"{path}, row {i}", [row.get(name) for name in names]) for i, row in enumerate(flat, 1)])


def _flat(row: dict[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{group}{name}/")
        else:
            yield f"{group}{name}", value
