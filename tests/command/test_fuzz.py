"""Texts, configurations and command lines from strangers: used or refused, and nothing in them is run."""

import builtins
import contextlib
import io
import random
from collections.abc import Iterator

import fuzz
import pytest

from lrsched import from_config, parse, to_config
from lrsched.cli import main

FEW = range(200)
# 10^5 texts, and half as many configurations and command lines each.
MANY = [
    pytest.param(range(i, i + 5_000), marks=pytest.mark.slow, id=f"from {i}") for i in range(10_000, 110_000, 5_000)
]


@pytest.fixture(autouse=True)
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Offer a function that the texts call, and see that nobody calls it."""
    calls: list[object] = []
    monkeypatch.setattr(builtins, "canary", calls.append, raising=False)
    yield calls
    assert calls == []


def test_the_canary_sees_a_text_that_is_run(called: list[object]):
    texts = [fuzz.text(random.Random(seed)) for seed in range(1000)]
    assert any("canary(1)" in text for text in texts)
    eval("canary(1)")
    assert called == [1]
    called.clear()


@pytest.mark.parametrize("seeds", [FEW, *MANY])
def test_a_text_is_a_schedule_or_is_refused(seeds: range):
    read = 0
    for seed in seeds:
        rng = random.Random(seed)
        text = fuzz.text(rng)
        found = fuzz.survives(lambda text=text: parse(text))
        if found is not None:
            read += 1
            fuzz.used(found)
            config = fuzz.damaged(rng, to_config(found))
            fuzz.used(fuzz.survives(lambda config=config: from_config(config)))
    assert read > len(seeds) / 10


@pytest.mark.parametrize("seeds", [FEW, *MANY[::2]])
def test_a_configuration_of_another_library_is_a_schedule_or_is_refused(seeds: range):
    for seed in seeds:
        rng = random.Random(seed)
        read, config = fuzz.READERS[rng.choice(sorted(fuzz.READERS))]
        fuzz.used(fuzz.survives(lambda read=read, config=config, rng=rng: read(fuzz.damaged(rng, config))))


@pytest.mark.parametrize("name", fuzz.READERS)
def test_a_configuration_is_read_before_it_is_damaged(name: str):
    read, config = fuzz.READERS[name]
    assert read(config) is not None


@pytest.mark.parametrize("seeds", [FEW[:100], *MANY[::2]])
def test_a_command_does_what_it_is_told_or_says_why_not(seeds: range):
    for seed in seeds:
        arguments = fuzz.arguments(random.Random(seed))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main(arguments)
            except SystemExit as stop:  # of argparse
                status = stop.code
        assert status == (2 if err.getvalue() else 0), arguments
