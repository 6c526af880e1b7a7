"""Names in a configuration: which of them look as if they were about a schedule, and which known one is nearest."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

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


def _words(name: str) -> list[str]:
    """Return the words of a name, in small letters."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


def _folded(name: str) -> str:
    return "".join(_words(name))


def _distance(a: str, b: str, most: int) -> int:
    """Return how many letters must be changed, left out, put in or swapped with the next; more than `most` if many."""
    if abs(len(a) - len(b)) > most:
        return most + 1
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before, last = last, row
    return last[-1]


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the one of the `known` names that `name` is a misspelling of, if any.

    A misspelling has other capitals or separators, or up to one letter in four wrong.

    Examples:
        >>> nearest("warmup_stepz", ["warmup_steps", "max_steps"]), nearest("MaxSteps", ["warmup_steps", "max_steps"])
        ('warmup_steps', 'max_steps')
    """
    found: tuple[int, str] | None = None
    for other in known:
        least = max(min(len(_folded(other)), len(_folded(name))) // 4, 1)
        distance = _distance(_folded(name), _folded(other), least)
        if distance <= least and (found is None or distance < found[0]):
            found = distance, other
    return found[1] if found else None


def looks_alike(name: str, known: Collection[str]) -> bool:
    """Return whether a name looks as if it were about a schedule, or is a misspelling of a known one.

    Examples:
        >>> [looks_alike(name, ["max_steps"]) for name in ("min_lr", "max_step", "decay_ratio", "total_iters")]
        [True, True, True, True]
        >>> [looks_alike(name, ["max_steps"]) for name in ("weight_decay", "save_steps", "seed", "hidden_size")]
        [False, False, False, False]
    """
    words = set(_words(name))
    return bool(
        words & _WORDS
        or _TOGETHER.search(_folded(name))
        or (words & {"decay", "decays"} and not words & _OTHER_DECAYS)
        or (words & _LENGTHS and words <= _LENGTHS | _QUALIFIERS)
        or any(pair <= words for pair in _PAIRS)
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
    elif isinstance(content, list | tuple):
        for i, inner in enumerate(content):
            yield from below(inner, known, f"{path}[{i}]", depth + 1)
