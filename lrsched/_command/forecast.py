"""`lrsched forecast`: what a run will have come to at its horizon, under one plan and another."""

import csv
import io
import math
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrsched._command.shared import MOST_BYTES, Args, UserError, budget_of, read_schedules
from lrsched._configs.document import text_of
from lrsched._core.check import MAX_STEPS
from lrsched._curves import Constant, Linear, Schedule
from lrsched.forecast import ReturnModel, ReturnState

# The model is shown at most so many observations: longer runs are averaged over neighbours.
_MOST = 50_000
# The names of columns and tags that are understood without asking.
_LR, _LOSS = ("lr", "learning_rate"), ("loss", "train_loss")


class LoggedRun(NamedTuple):
    """What was logged of a run; the arrays have one length."""

    step: NDArray[np.int64]
    lr: NDArray[np.float64]
    loss: NDArray[np.float64]


def forecast(args: Args) -> int:
    """Print the predicted loss of each plan at the horizon; return the exit status.

    Raises:
        UserError: the run or a plan cannot be used, or too little of the run has been seen.
    """
    run = read_run(Path(args.run), args.lr, args.loss)
    done, horizon = int(run.step[-1]) + 1, args.horizon
    if done >= horizon:
        raise UserError(f"--horizon must be more than the {done} updates of the run, got {horizon}")
    plans = _plans(args, float(run.lr[-1]), done, horizon)
    # The first plan is the one that the picture shows as the present one.
    every = -(-horizon // _MOST)
    peak = float(run.lr.max())
    if peak <= 0.0:
        raise UserError(f"{args.run}: the learning rate is nowhere above 0")
    model = ReturnModel(horizon, peak, default=next(iter(plans.values())), every=every)
    state = replay(model, run, args.warmup)
    if model.status(state) == "early":
        raise UserError(f"{done} of {horizon} updates are too few to forecast from: see at least 15 % of the run")
    _print_table(model, state, plans)
    explanation = model.explain(state)
    print(f"\n{explanation.text}")
    if args.svg is not None:
        Path(args.svg).write_text(explanation.svg + "\n", encoding="utf-8")
    return 0


def _plans(args: Args, lr: float, done: int, horizon: int) -> dict[str, Schedule]:
    if args.plan:
        return dict(zip(args.plan, read_schedules(args.plan, budget_of(args, horizon)), strict=True))
    left, fifth = horizon - done, min(horizon // 5, horizon - done)
    stay = Constant(lr, steps=horizon - fifth)
    return {
        "the present rate, linear to 0 over the last 20 %": stay >> Linear(lr, 0.0, steps=fifth),
        "linear to 0 from now on": Constant(lr, steps=done) >> Linear(lr, 0.0, steps=left),
        "the present rate to the end": Constant(lr),
    }


def _print_table(model: ReturnModel, state: ReturnState, plans: dict[str, Schedule]) -> None:
    first = next(iter(plans.values()))
    print(f"{'loss':>10}  {'80 % interval':>23}  {'gain':>10}  plan")
    for name, plan in plans.items():
        mean, lo, hi = model.forecast(state, plan)
        gain = "" if plan == first else f"{model.advantage(state, first, plan).mean:+.4g}"
        print(f"{mean:>10.5g}  {lo:>10.5g} to {hi:>9.5g}  {gain:>10}  {name}")


def replay(model: ReturnModel, run: LoggedRun, warmup: int) -> ReturnState:
    """Show a run to a model, with the rates that the run had.

    Args:
        model: the model; it takes blocks of `model.every` updates.
        run: what was logged. Rates between two rows lie on the line between them.
        warmup: updates of a linear rise from 0 to the rate of the first row, as far as they come before it.

    Returns:
        The state of the model after the last whole block.
    """
    every = model.every
    count = (int(run.step[-1]) + 1) // every
    rates = _block_means(run, warmup, every, count)
    there = ~np.isnan(run.loss)
    block = run.step[there] // every
    many = np.bincount(block, minlength=count)[:count]
    with np.errstate(invalid="ignore"):
        losses = np.bincount(block, run.loss[there], count)[:count] / many
    state = model.init()
    for rate, loss in zip(rates.tolist(), losses.tolist(), strict=True):
        state, _ = model.update(state._replace(lr=rate), loss)
    # What was not logged is nothing that the model should complain of.
    return state._replace(record=state.record._replace(refused=0))


def _block_means(run: LoggedRun, warmup: int, every: int, count: int) -> NDArray[np.float64]:
    """Return the mean rate of each of `count` blocks of `every` updates, without laying out the updates."""
    steps, rates = run.step, run.lr
    if rise := min(warmup, int(steps[0])):
        later = steps > rise
        steps = np.concatenate(([0, rise], steps[later]))
        rates = np.concatenate(([0.0, rates[0]], rates[later]))
    # On a line the mean is the rate in the middle.
    edges = np.arange(count) * every
    begin = np.union1d(edges, steps[steps < count * every])
    length = np.diff(begin, append=count * every)
    middle = np.interp(begin + (length - 1) / 2, steps, rates)
    first = np.searchsorted(begin, edges)
    start = np.repeat(middle[first], np.diff(first, append=begin.size))
    return middle[first] + np.add.reduceat((middle - start) * length, first) / every


def read_run(path: Path, lr: str | None = None, loss: str | None = None) -> LoggedRun:
    """Read a run from a CSV file or a TensorBoard log directory.

    Args:
        path: the file or the directory.
        lr: name of the column or tag of the learning rate; by default the first that looks like it.
        loss: the same for the loss.

    Raises:
        UserError: there is no such run in it; the message names the line or what there is instead.
    """
    rows = _read_events(path, lr, loss) if path.is_dir() else _read_csv(path, lr, loss)
    steps: list[int] = []
    numbers: list[tuple[float, float]] = []
    for where, step, rate, value in rows:
        if not (step.is_integer() and 0 <= step < MAX_STEPS):
            raise UserError(f"{where}: the step must be an int >= 0, got {step} (below 2**53)")
        if steps and step <= steps[-1]:
            raise UserError(f"{where}: steps must rise, but {step:.0f} follows {steps[-1]}")
        if not (math.isfinite(rate) and rate >= 0.0):
            raise UserError(f"{where}: the learning rate must be a finite number >= 0, got {rate}")
        steps.append(int(step))
        numbers.append((rate, value))
    if not steps:
        raise UserError(f"{path}: there is no row with a step, a learning rate and a loss")
    rates, losses = np.array(numbers, dtype=np.float64).T
    return LoggedRun(np.array(steps, dtype=np.int64), rates, losses)


Rows = Iterable[tuple[str, float, float, float]]


def _read_csv(path: Path, lr: str | None, loss: str | None) -> Rows:
    try:
        table = list(csv.reader(io.StringIO(text_of(path, MOST_BYTES), newline="")))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: this is no CSV file: {error}") from None
    heads = [head.strip() for head in table[0]] if table else []
    names = (_pick(path, heads, None, ("step",)), _pick(path, heads, lr, _LR), _pick(path, heads, loss, _LOSS))
    places = [heads.index(name) for name in names]
    for line, row in enumerate(table[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        where = f"{path}, line {line}"
        try:
            step, rate, value = (float(row[place]) for place in places)
        except (IndexError, ValueError):
            raise UserError(f"{where}: {', '.join(names)} must be numbers, got {','.join(row)!r}") from None
        yield where, step, rate, value


def _read_events(path: Path, lr: str | None, loss: str | None) -> Rows:
    """Yield the updates for which a TensorBoard log has both the learning rate and the loss."""
    try:
        events = import_module("tensorboard.backend.event_processing.event_accumulator")
        arrays = import_module("tensorboard.util.tensor_util")
    except ImportError:
        raise UserError(f"{path}: reading TensorBoard logs needs tensorboard: pip install tensorboard") from None
    log = events.EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    log.Reload()
    scalars, tensors = log.Tags()["scalars"], log.Tags()["tensors"]

    def series(name: str) -> dict[int, float]:
        if name in scalars:
            return {event.step: float(event.value) for event in log.Scalars(name)}
        return {event.step: float(arrays.make_ndarray(event.tensor_proto)) for event in log.Tensors(name)}

    tags = [*scalars, *tensors]
    rates = series(_pick(path, tags, lr, _LR))
    losses = series(_pick(path, tags, loss, _LOSS))
    for step in sorted(rates.keys() & losses.keys()):
        yield f"{path}, step {step}", float(step), rates[step], losses[step]


def _pick(path: Path, there: list[str], wanted: str | None, usual: tuple[str, ...]) -> str:
    """Return the name that was asked for, or the first that is a usual one, also as `group/name`."""
    tests: tuple[Callable[[str], Any], ...] = (
        (lambda name: name == wanted,) if wanted is not None else tuple(_is(name) for name in usual)
    )
    for test in tests:
        for name in there:
            if test(name):
                return name
    must = repr(wanted) if wanted is not None else " or ".join(map(repr, usual))
    raise UserError(f"{path}: there is no {must}, only {', '.join(there) or 'nothing'}")


def _is(usual: str) -> Callable[[str], bool]:
    return lambda name: name.lower().replace("-", "_").rpartition("/")[2] == usual
