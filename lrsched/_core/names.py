"""Names that people write, and which known one is nearest."""

import re
from collections.abc import Collection
from functools import lru_cache

# What people call a library.
ALIASES = {"pytorch": "torch", "jax": "optax", "tensorflow": "keras", "tf": "keras", "huggingface": "transformers"}
ALIASES |= {"hf": "transformers"}


def words(name: str) -> list[str]:
    """Return the words of a name, in small letters."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


@lru_cache(4096)
def folded(name: str) -> str:
    """Return the words of a name, in small letters, written together."""
    return "".join(words(name))


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


def closest(name: str, known: Collection[str], count: int = 3) -> list[str]:
    """Return the known names that are most like a name, the nearest first.

    Examples:
        >>> closest("cosin", ["Linear", "Cosine", "warmup_cosine", "Tanh"], 2)
        ['Cosine', 'Tanh']
    """
    return sorted(known, key=lambda other: (_distance(folded(name), folded(other), 99), other))[:count]


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the one of the `known` names that `name` is a misspelling of, if any.

    A misspelling has other capitals or separators, or up to one letter in four wrong.

    Examples:
        >>> nearest("warmup_stepz", ["warmup_steps", "max_steps"]), nearest("MaxSteps", ["warmup_steps", "max_steps"])
        ('warmup_steps', 'max_steps')
    """
    found: tuple[int, str] | None = None
    for other in known:
        least = max(min(len(folded(other)), len(folded(name))) // 4, 1)
        distance = _distance(folded(name), folded(other), least)
        if distance <= least and (found is None or distance < found[0]):
            found = distance, other
    return found[1] if found else None
