"""The return model in the loop of a small network on MNIST: does it do harm, does it help at too high a peak rate?

A 784-128-128-10 network in NumPy, momentum 0.9, batches of 128, 4000 updates; three peak rates that span a factor of
15. The plain policy is the model's own default plan: constant, linear to 0 over the last fifth. Both policies see the
same initial weights and batches.

The files are not part of this project: put the four canonical `*-ubyte.gz` into `mnist/` below the folder that
LRSCHED_DATA names, or below `../shared/data`. Seeds from 100 on were used to develop the model. Run `python -m
experiments.closed_loop_mnist [folder] [first seed] [seeds]`: it takes about ten minutes on one core and writes
closed_loop_mnist.json and .md there.
"""

import gzip
import json
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrsched.forecast import ReturnModel

PEAKS = (0.01, 0.05, 0.15)
STEPS, BATCH, HIDDEN = 4000, 128, 128
HELP = "MNIST is missing: set LRSCHED_DATA to a folder with mnist/ (see experiments/closed_loop_mnist.py)"
Floats = NDArray[np.float32]


class Data(NamedTuple):
    """MNIST: images as rows of 784 numbers in [0, 1], labels as integers."""

    images: Floats
    labels: NDArray[np.int64]
    test_images: Floats
    test_labels: NDArray[np.int64]


def read(path: Path) -> NDArray[np.uint8]:
    """Return the array of an idx file, gzipped."""
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def load() -> Data:
    """Return MNIST, or raise FileNotFoundError with advice."""
    root = Path(os.environ.get("LRSCHED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "mnist"
    if not root.is_dir():
        raise FileNotFoundError(HELP)
    parts = []
    for name in ("train", "t10k"):
        images = read(root / f"{name}-images-idx3-ubyte.gz").reshape(-1, 784)
        parts += [images.astype(np.float32) / 255, read(root / f"{name}-labels-idx1-ubyte.gz").astype(np.int64)]
    return Data(*parts)


def forward(weights: list[Floats], x: Floats) -> list[Floats]:
    """Return the activations of all layers; the last are logits."""
    layers = [x]
    for i in range(0, len(weights), 2):
        x = x @ weights[i] + weights[i + 1]
        if i + 2 < len(weights):
            x = np.maximum(x, 0)
        layers.append(x)
    return layers


def step(weights: list[Floats], x: Floats, y: NDArray[np.int64]) -> tuple[float, list[Floats]]:
    """Return the loss of a batch and its gradients."""
    layers = forward(weights, x)
    logits = layers[-1] - layers[-1].max(axis=1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    loss = float(-np.log(np.maximum(p[rows, y], 1e-30)).mean())
    p[rows, y] -= 1
    back = p / len(y)
    gradients: list[Floats] = []
    for i in range(len(weights) - 2, -1, -2):
        gradients = [layers[i // 2].T @ back, back.sum(axis=0), *gradients]
        if i:
            back = (back @ weights[i].T) * (layers[i // 2] > 0)
    return loss, gradients


def train(data: Data, seed: int, rate: Callable[[float], float], first: float) -> dict[str, float]:
    """Train at the rates `rate(loss)`; return test accuracy in percent and the mean of the last losses."""
    rng = np.random.default_rng(seed)
    sizes = (784, HIDDEN, HIDDEN, 10)
    weights: list[Floats] = []
    for a, b in pairwise(sizes):
        weights += [rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32), np.zeros(b, np.float32)]
    velocity = [np.zeros_like(w) for w in weights]
    lr, recent, order = first, [], np.empty(0, np.int64)
    for _ in range(STEPS):
        if order.size < BATCH:
            order = rng.permutation(len(data.labels))
        batch, order = order[:BATCH], order[BATCH:]
        loss, gradients = step(weights, data.images[batch], data.labels[batch])
        for w, v, g in zip(weights, velocity, gradients, strict=True):
            v *= 0.9
            v += g
            w -= np.float32(lr) * v
        recent = [*recent[-99:], loss]
        lr = rate(loss)
    hits = forward(weights, data.test_images)[-1].argmax(axis=1) == data.test_labels
    return {"accuracy": 100 * float(hits.mean()), "loss": float(np.mean(recent))}


def run(data: Data, seed: int, peak: float, act: bool) -> dict[str, Any]:
    """Return the result of one run under the default plan, or with the return model acting."""
    model = ReturnModel(STEPS, peak, act=act)
    state = model.init()

    def rate(loss: float) -> float:
        nonlocal state
        state, lr = model.update(state, loss)
        return lr

    result: dict[str, Any] = train(data, seed, rate, state.lr)
    return result | {"status": model.status(state), "switch": state.switch}


def report(rows: list[dict[str, Any]]) -> str:
    """Return the results as Markdown: means over seeds, and the standard error of the difference of pairs."""
    lines = ["# MNIST, test accuracy in percent (training loss of the last 100 batches)", ""]
    lines += ["| peak | default | return model | difference | seeds |", "|---|---|---|---|---|"]
    for peak in dict.fromkeys(row["peak"] for row in rows):
        some = [row for row in rows if row["peak"] == peak]
        plain, model = (
            {k: np.array([r[who][k] for r in some]) for k in ("accuracy", "loss")} for who in ("default", "model")
        )
        gap = model["accuracy"] - plain["accuracy"]
        error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else float("nan")
        cells = [f"{each['accuracy'].mean():.2f} ({each['loss'].mean():.4f})" for each in (plain, model)]
        lines.append(f"| {peak:g} | {cells[0]} | {cells[1]} | {gap.mean():+.3f} +- {error:.3f} | {len(gap)} |")
    return "\n".join(lines) + "\n"


def main(folder: Path, first: int = 0, seeds: int = 5, say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Run everything, write the results into `folder` and return them."""
    data = load()
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for seed in range(first, first + seeds):
        for peak in PEAKS:
            begun = time.perf_counter()
            pair = {"default": run(data, seed, peak, act=False), "model": run(data, seed, peak, act=True)}
            rows.append({"seed": seed, "peak": peak, **pair})
            accuracy = {who: each["accuracy"] for who, each in pair.items()}
            say(f"seed {seed}, peak {peak:g}: {accuracy} {pair['model']['switch']} {pair['model']['status']} "
                f"({time.perf_counter() - begun:.0f} s)")  # fmt: skip
            (folder / "closed_loop_mnist.json").write_text(json.dumps(rows, indent=1) + "\n")
            (folder / "closed_loop_mnist.md").write_text(report(rows))
    say(report(rows))
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"), *map(int, sys.argv[2:4]))
