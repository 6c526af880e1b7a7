"""The demonstration: one schedule and one rule train the same network in four array libraries.

The task is scikit-learn's bundled digits (8 x 8 images); the network has one hidden layer. Weights, batches, schedule
and rule are the same everywhere, so the learning rates and the loss curves must be too.
"""

import argparse
import contextlib
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrsched import rules
from lrsched._curves import Chain, Cosine, Schedule, Warmup
from lrsched._draw.svg import svg
from lrsched._draw.terminal import plot_text
from lrsched._recipes.staircases import piecewise_linear
from lrsched.installed import needs

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Report = Callable[[int], None]

EPOCHS, BATCH, HIDDEN = 16, 64, 64
SMOOTHING = 7
# Each framework trains in the adapter that knows it.
TRAINERS = {
    "NumPy": "lrsched.demo",
    "PyTorch": "lrsched_torch.demo",
    "Keras": "lrsched_keras.demo",
    "Optax": "lrsched_optax.demo",
}


class Problem(NamedTuple):
    """A classification task with everything that must be the same in each framework."""

    train_x: Floats  # shape=(n, 64), in [0, 1]
    train_y: Ints  # shape=(n,), in 0..9
    test_x: Floats
    test_y: Ints
    weights: tuple[Floats, ...]  # first values of w1 (64, HIDDEN), b1 (HIDDEN,), w2 (HIDDEN, 10), b2 (10,)
    batches: Ints  # shape=(steps, BATCH): rows of the training set that each update sees


class Run(NamedTuple):
    """What one framework did: a loss and a learning rate for each update, and the last weights."""

    losses: list[float]
    rates: list[float]
    weights: tuple[Floats, ...]
    seconds: float


def digits(seed: int = 0) -> Problem:
    """Return the digits task: a stratified split, scaled images, random first weights and random batches.

    Args:
        seed: of the weights and batches; the split is the same for all seeds.
    """
    with needs("the demonstration", "demo", "sklearn"):
        datasets = importlib.import_module("sklearn.datasets")
        selection = importlib.import_module("sklearn.model_selection")
    images, labels = datasets.load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = selection.train_test_split(
        images.astype(np.float32) / 16.0, labels.astype(np.int64), test_size=0.25, random_state=0, stratify=labels
    )
    random = np.random.default_rng(seed)
    shapes = [(64, HIDDEN), (HIDDEN,), (HIDDEN, 10), (10,)]
    weights = tuple((random.normal(size=s) * (s[0] ** -0.5 if len(s) == 2 else 0.0)).astype(np.float32) for s in shapes)
    per_epoch = len(train_x) // BATCH
    rows = [random.permutation(len(train_x))[: per_epoch * BATCH].reshape(per_epoch, BATCH) for _ in range(EPOCHS)]
    return Problem(train_x, train_y, test_x, test_y, weights, np.concatenate(rows))


def plan(problem: Problem) -> tuple[Schedule, rules.Rule]:
    """Return what every framework uses: warm-up and cosine; clipped Adam with weight decay."""
    steps = len(problem.batches)
    warmup = steps // 10
    schedule = Warmup(warmup) >> Cosine(1e-2, 0.0, steps=steps - warmup)
    return schedule, rules.ClipByGlobalNorm(1.0) >> rules.AdamW(weight_decay=1e-2)


def forward(weights: Sequence[Any], x: Floats) -> tuple[Floats, Floats]:
    """Return the hidden layer and the logits."""
    w1, b1, w2, b2 = weights
    hidden = np.tanh(x @ w1 + b1)
    return hidden, hidden @ w2 + b2


def loss_and_gradients(weights: Sequence[Any], x: Floats, y: Ints) -> tuple[float, list[Floats]]:
    """Return the mean cross-entropy of the softmax and its gradients."""
    hidden, logits = forward(weights, x)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(y))
    d_logits = np.exp(log_p)
    d_logits[rows, y] -= 1.0
    d_logits /= np.float32(len(y))
    d_hidden = (d_logits @ weights[2].T) * (1.0 - hidden * hidden)
    gradients = [x.T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_logits, d_logits.sum(axis=0)]
    return float(-log_p[rows, y].mean()), gradients


def train(problem: Problem, schedule: Schedule, rule: rules.Rule, report: Report) -> Run:
    """Train the network with NumPy; the adapters have a function of the same name and arguments.

    Args:
        problem: data, first weights and batches.
        schedule: the learning rate of each update.
        rule: the update rule.
        report: called with the number of updates done.
    """
    weights = list(problem.weights)
    slots = rules.init(rule, weights)
    losses, rates = [], []
    begin = time.perf_counter()
    for step, rows in enumerate(problem.batches):
        loss, gradients = loss_and_gradients(weights, problem.train_x[rows], problem.train_y[rows])
        lr = schedule(step)
        weights, slots = rules.apply(rule, weights, gradients, slots, lr=lr, step=step)
        losses.append(loss)
        rates.append(lr)
        report(step + 1)
    return Run(losses, rates, tuple(weights), time.perf_counter() - begin)


def accuracy(weights: Sequence[Floats], problem: Problem) -> float:
    """Return the part of the test images that the network names correctly."""
    return float((forward(weights, problem.test_x)[1].argmax(axis=1) == problem.test_y).mean())


def difference(run: Run, reference: Run, what: str) -> float:
    """Return the largest relative difference of the "losses" or "rates" of two runs, over all updates."""
    a, b = np.array(getattr(run, what)), np.array(getattr(reference, what))
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(b), np.finfo(float).tiny)))


def table(runs: dict[str, Run], problem: Problem, schedule: Schedule) -> Iterator[str]:
    """Yield the lines of the comparison: learning rates, losses, accuracy and time of each framework."""
    steps = len(problem.batches)
    shown = [0, 1, _warmup(schedule), steps // 2, steps - 1]
    heads = [f"lr[{step}]" for step in shown]
    yield (
        f"{'':8}"
        + "".join(f"{head:>14}" for head in heads)
        + f"{'lr diff':>10}{'loss':>10}{'loss diff':>11}{'test':>8}{'s':>7}"
    )
    reference = runs["NumPy"]
    for name, run in runs.items():
        rates = "".join(f"{run.rates[step]:>14.7g}" for step in shown)
        last = float(np.mean(run.losses[-len(run.losses) // EPOCHS :]))
        diffs = difference(run, reference, "rates"), difference(run, reference, "losses")
        yield (
            f"{name:8}{rates}{diffs[0]:>10.1e}{last:>10.5f}{diffs[1]:>11.1e}"
            f"{accuracy(run.weights, problem):>8.2%}{run.seconds:>7.1f}"
        )


def _warmup(schedule: Schedule) -> int:
    return schedule.starts[1] if isinstance(schedule, Chain) else 0


def _progress(name: str, total: int) -> Report:
    def report(done: int) -> None:
        if done == total or done % 50 == 0:
            end = "\n" if done == total else ""
            print(f"\r{name:8} {'#' * (30 * done // total):30} {done:4d}/{total} updates", end=end, flush=True)

    return report


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what C++ libraries write while they load off the screen."""
    sys.stderr.flush()
    kept = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


def run_all(problem: Problem, schedule: Schedule, rule: rules.Rule) -> dict[str, Run]:
    """Train in each framework that is installed, in turn, and say which is missing."""
    runs = {}
    for name, module in TRAINERS.items():
        print(f"\r{name:8} starting ...", end="", flush=True)
        try:
            with _silent():
                trainer = importlib.import_module(module)
        except ModuleNotFoundError as error:
            print(f"\r{name:8} left out: {error.name} is not installed")
            continue
        runs[name] = trainer.train(problem, schedule, rule, _progress(name, len(problem.batches)))
    return runs


def picture(schedule: Schedule, runs: dict[str, Run]) -> str:
    """Return the schedule above the loss curves of all frameworks, as SVG text."""
    steps = len(next(iter(runs.values())).losses)
    losses = [_smooth(run.losses) for run in runs.values()]
    title = f"training loss, mean of {SMOOTHING} updates"
    panels = [
        svg(schedule, steps=steps, title="learning rate"),
        svg(losses, steps=steps, title=title, labels=list(runs), height=280, log=True, quantity="loss"),
    ]
    # Inside another drawing a panel has a place and a size, no style of its own.
    placed = [
        panel.replace("<svg ", f'<svg y="{y}" ', 1).replace(' style="max-width:100%;height:auto"', "", 1)
        for panel, y in zip(panels, (0, 250), strict=True)
    ]
    return "\n".join(
        ['<svg xmlns="http://www.w3.org/2000/svg" width="640" height="530" viewBox="0 0 640 530">', *placed, "</svg>\n"]
    )


def _smooth(losses: Sequence[float]) -> Schedule:
    """Return the means of successive blocks as a curve: straight lines between their middles."""
    blocks = [float(np.mean(losses[i : i + SMOOTHING])) for i in range(0, len(losses), SMOOTHING)]
    return piecewise_linear([i * SMOOTHING for i in range(len(blocks))], blocks)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration and return the exit status: 1 if the frameworks disagree.

    Args:
        argv: the command's arguments: `--out DIR` says where the picture goes.
    """
    parser = argparse.ArgumentParser(prog="lrsched demo", description=__doc__)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("demo"), help="folder of the picture")
    args = parser.parse_args(argv)
    # The network is too small for a GPU, and TensorFlow reports at length that it finds none.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    problem = digits()
    schedule, rule = plan(problem)
    print(f"schedule  {schedule}\nrule      {rule}\n")
    print(plot_text(schedule, len(problem.batches), 78, 8))
    print(f"\n{len(problem.train_x)} training and {len(problem.test_x)} test images, {len(problem.batches)} updates\n")
    runs = run_all(problem, schedule, rule)
    print("\nlr[t]: learning rate of update t; diff: largest relative difference to NumPy over all updates")
    print("loss: mean of the last epoch; test: accuracy on the test images\n")
    print("\n".join(table(runs, problem, schedule)))
    args.out.mkdir(parents=True, exist_ok=True)
    drawn = args.out / "digits.svg"
    drawn.write_text(picture(schedule, runs), encoding="utf-8")
    print(f"\npicture: {drawn}")
    reference = runs["NumPy"]
    agreed = all(
        difference(run, reference, "rates") < 1e-5 and difference(run, reference, "losses") < 1e-3
        for run in runs.values()
    )
    right = all(accuracy(run.weights, problem) >= 0.95 for run in runs.values())
    print("the frameworks agree" if agreed else "THE FRAMEWORKS DISAGREE")
    return 0 if agreed and right else 1
