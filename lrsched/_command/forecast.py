"""`lrsched forecast`: what a run will have come to at its horizon, under one plan and another."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lrsched._command.logs import LoggedRun, Wanted, read_run
from lrsched._command.shared import Args, UserError, budget_of, read_schedules
from lrsched._curves import Constant, Linear, Schedule
from lrsched.forecast import ReturnModel, ReturnState

# The model is shown at most so many observations: longer runs are averaged over neighbours.
_MOST = 50_000
# A plan has other rates than the run if they differ by more than this part of the peak.
_SAME = 0.01


def forecast(args: Args) -> int:
    """Print the predicted loss of each plan at the horizon; return the exit status.

    Raises:
        UserError: the run or a plan cannot be used, or too little of the run has been seen.
    """
    sizes = (getattr(args, name, None) for name in ("steps_per_epoch", "tokens_per_step", "samples_per_step"))
    run = read_run([Path(each) for each in args.run], Wanted(args.step, args.lr, args.loss, *sizes))
    done, horizon = int(run.step[-1]) + 1, args.horizon
    if done >= horizon:
        units = "; if its steps are tokens or samples, say so: --tokens-per-step" if done > 100 * horizon else ""
        raise UserError(f"--horizon must be more than the {done} updates of the run, got {horizon}{units}")
    peak = float(run.lr.max())
    if peak <= 0.0:
        raise UserError(f"{', '.join(args.run)}: the learning rate is nowhere above 0")
    plans = _plans(args, float(run.lr[-1]), done, horizon)
    if args.plan:
        for text, plan in plans.items():
            _agree(text, plan, run, peak)
    # The first plan is the one that the picture shows as the present one.
    every = -(-horizon // _MOST)
    model = ReturnModel(horizon, peak, default=next(iter(plans.values())), every=every)
    state = replay(model, run, args.warmup)
    if model.status(state) == "early":
        raise UserError(f"{done} of {horizon} updates are too few to forecast from: see at least 15 % of the run")
    for note in run.notes:
        print(f"lrsched forecast: note: {note}", file=sys.stderr)
    _print_table(model, state, plans)
    explanation = model.explain(state)
    print(f"\n{explanation.text}")
    if args.svg is not None:
        Path(args.svg).write_text(explanation.svg + "\n", encoding="utf-8")
    return 0


def _agree(text: str, plan: Schedule, run: LoggedRun, peak: float) -> None:
    """Refuse a plan of the whole run whose rates are not those that the run had; loggers may be one update off."""
    steps, rates = run.step[run.told], run.lr[run.told]
    near = np.stack([plan(np.maximum(steps + off, 0)) for off in (-1, 0, 1)])
    off = np.abs(near - rates).min(axis=0) > _SAME * peak
    if off.any():
        first = int(np.argmax(off))
        raise UserError(
            f"--plan {text}: is for the whole run, from update 0, but at {steps[first]} it gives {near[1, first]:.4g}, "
            f"and the run had {rates[first]:.4g} ({np.count_nonzero(off)} of {off.size} logged rates differ)"
        )


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
