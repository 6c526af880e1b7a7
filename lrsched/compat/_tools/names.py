"""Names in a configuration: which of them look as if they were about a schedule."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lrsched._core.check import is_sequence
from lrsched._core.names import folded, nearest, words

# Words of which one makes a name look like a schedule's.
_WORDS = frozenset({
    "lr", "lrs", "warmup", "scheduler", "schedulers", "schedule", "sched", "anneal", "annealing", "gamma",
    "milestone", "milestones", "cycle", "cycles", "restart", "restarts", "power", "timescale", "cooldown",
    "stable",
})  # fmt: skip
# The same where words are written together.
_TOGETHER = re.compile(r"learningrate|warmup|lrsched|^tmax$|^t0$|^tmult$|^etam(in|ax)$")
# What decays beside the rate.
_OTHER_DECAYS = frozenset({
    "weight", "wd", "ema", "momentum", "beta", "l2", "no", "exclude", "param", "params", "norm", "bias", "layer",
})  # fmt: skip
# A name of such words alone is a length of the training.
_LENGTHS = frozenset({
    "step", "steps", "iter", "iters", "iteration", "iterations", "update", "updates", "epoch", "epochs",
})  # fmt: skip
_QUALIFIERS = frozenset({"max", "total", "num", "n", "number", "of", "train", "training"})
# Words that do so together.
_PAIRS = tuple(map(frozenset, [
    ("step", "size"), ("start", "factor"), ("end", "factor"), ("pct", "start"), ("div", "factor"),
    ("constant", "steps"), ("hold", "steps"),
]))  # fmt: skip
# How deep a configuration is looked through.
_DEPTH = 12


def looks_alike(name: str, known: Collection[str]) -> bool:
    """Return whether a name looks as if it were about a schedule, or is a misspelling of a known one.

    Examples:
        >>> [looks_alike(name, ["max_steps"]) for name in ("min_lr", "max_step", "decay_ratio", "total_iters")]
        [True, True, True, True]
        >>> [looks_alike(name, ["max_steps"]) for name in ("weight_decay", "save_steps", "seed", "hidden_size")]
        [False, False, False, False]
    """
    found = set(words(name))
    return bool(
        found & _WORDS
        or _TOGETHER.search(folded(name))
        or (found & {"decay", "decays"} and not found & _OTHER_DECAYS)
        or (found & _LENGTHS and found <= _LENGTHS | _QUALIFIERS)
        or any(pair <= found for pair in _PAIRS)
        or nearest(name, known)
    )


def below(content: Any, known: Collection[str], path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the path of each dictionary inside `content` that holds some of the `known` names, and that name.

    Capitals do not matter.
    """
    folded = {name.lower() for name in known}
    if depth > _DEPTH:
        return
    if isinstance(content, Mapping):
        for name, inner in content.items():
            if depth and str(name).lower() in folded:
                yield path, str(name)
            yield from below(inner, known, f"{path}.{name}" if path else str(name), depth + 1)
    elif is_sequence(content):
        for i, inner in enumerate(content):
            yield from below(inner, known, f"{path}[{i}]", depth + 1)
