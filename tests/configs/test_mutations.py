"""Files with something wrong in them are read, or refused in a sentence; a misspelt name never passes."""

import copy
import math
import random

import pytest

from lrsched import Budget, read_config

pytest.importorskip("yaml")
from test_files import FILES, READ

from lrsched._configs.document import read_document

VALUES = [
    None, -1, 0, 1, 2.5, math.nan, math.inf, -1e300, 1e300, 10**30, "auto", "1e-3", "abc", "", True, False, [], [1],
    [1, 2, 3], ["a"], {}, {"a": 1}, "${a.b}", "$X", "none", "3ep", "2e12T", "1_000", [[1]], {"name": "x"}, "1,2", "-5",
]  # fmt: skip
# What Python says of a value of the wrong kind, and no reader should leave to it.
RAW = (
    "argument must be", "could not convert", "unhashable", "unsupported operand", "not supported between", "NoneType",
    "object is not", "has no attribute", "indices must be",
)  # fmt: skip


def places(content, place=()):
    named = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in named:
        yield (*place, key)
        yield from places(value, (*place, key))


def table(content, place):
    for key in place[:-1]:
        content = content[key]
    return content


def source(document, content):
    if not document.arguments:
        return content
    words = []
    for key, value in content.items():
        words += [f"--{key}", *([] if value is True else map(str, value) if isinstance(value, list) else [str(value)])]
    return words


def mutations(seed, count):
    """Yield the name of a file, its document, and its content with one or two entries changed or taken out."""
    rng, documents = random.Random(seed), {name: read_document(FILES / name) for name in READ}
    for _ in range(count):
        name = rng.choice(list(READ))
        content = copy.deepcopy(documents[name].content)
        for _ in range(rng.choice([1, 1, 2])):
            place = rng.choice([*places(content)])
            if rng.random() < 0.2:
                del table(content, place)[place[-1]]
            else:
                table(content, place)[place[-1]] = copy.deepcopy(rng.choice(VALUES))
            if not content:
                break
        yield rng, name, source(documents[name], content)


def tried(content, **how):
    """Return what is read, or None, and the sentence of the error."""
    try:
        return read_config(content, **how), ""
    except (TypeError, ValueError) as error:
        return None, str(error)


def check_wrong_values(seed, count):
    read = 0
    for rng, name, content in mutations(seed, count):
        form, budget = READ[name][:2]
        found, said = tried(content, format=rng.choice([form, None]), budget=rng.choice([budget, Budget(steps=7)]))
        if found is None:
            assert said.startswith(("config", "read_config(")), (name, content)
            assert not any(raw in said for raw in RAW), (name, content)
            continue
        read += 1
        assert found.explain()
        assert all(math.isfinite(s(0)) and math.isfinite(s(1000)) for s in found.schedules.values())
    return read


def check_misspelt_names(seed, count):
    rng, refused = random.Random(seed), 0
    for _ in range(count):
        name = rng.choice(list(READ))
        form, budget = READ[name][:2]
        document = read_document(FILES / name)
        base = read_config(source(document, document.content), format=form, budget=budget)
        content = copy.deepcopy(document.content)
        place = rng.choice([place for place in places(content) if isinstance(place[-1], str)])
        key, i = place[-1], rng.randrange(len(place[-1]))
        new = rng.choice([key[:i] + key[i + 1 :], key[: i + 1] + key[i:], f"{key[:i]}q{key[i + 1 :]}"])
        # At the top a short name is no misspelling of another one: there are `tp`, `pp` and `dp`.
        # And some names are the user's own.
        if new == key or (len(place) == 1 and len(key) < 5) or "custom_keys" in place:
            continue
        holder = table(content, place)
        renamed = {new if k == key else k: v for k, v in holder.items()}
        holder.clear()
        holder.update(renamed)
        found, said = tried(source(document, content), format=form, budget=budget)
        if found is None:
            assert said.startswith("config"), (name, place, new)
            refused += 1
            continue
        told = any(new in note.key for note in found.unused)
        same = (found.schedules, found.optimizer, found.budget) == (base.schedules, base.optimizer, base.budget)
        assert told or same, (name, place, new)
    return refused


def test_a_file_with_wrong_values_is_read_or_refused_in_a_sentence():
    assert 20 < check_wrong_values(0, 150) < 130


def test_a_misspelt_name_is_refused_or_told_or_changes_nothing():
    assert check_misspelt_names(0, 100) > 30


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_many_files_with_something_wrong_are_read_or_refused_in_a_sentence(seed):
    check_wrong_values(seed, 2000)
    check_misspelt_names(seed, 500)
