"""Schedules of very many parts: the work grows in proportion, and what comes out is what few parts give."""

import cProfile
import pickle
import random
from functools import reduce
from operator import add, mul, rshift

import numpy as np
import pytest

from lrsched import (
    Constant,
    Cooldown,
    Cosine,
    Exponential,
    Extend,
    Linear,
    Maximum,
    Minimum,
    PowerLaw,
    Schedule,
    Stretch,
    Table,
    Warmup,
    from_config,
    multi_step,
    parse,
    to_config,
)
from lrsched._curves import combine, schedule

OPERATORS = {">>": rshift, "*": mul, "+": add}
LEAVES = (
    Constant(0.1, 3),
    Constant(0.2),
    Linear(1.0, 0.5, 3),
    Linear(0.1, 0.0, 2),
    Cosine(1.0, 0.0, 9),
    Warmup(3),
    Warmup(2, 0.1),
    Cooldown(2),
    PowerLaw(1.0, 0.5, 10),
    Exponential(1e300, 1e3),
    Extend(Linear(1.0, 0.5, 4)),
    Extend(Linear(0.5, 1.0, 4)),
)


def tree(rng: random.Random, depth: int = 0):
    """Return operators with two operands each, and schedules that need not fit together."""
    if depth > 3 or rng.random() < 0.35:
        return rng.choice(LEAVES)
    return rng.choices(list(OPERATORS), [8, 3, 2])[0], tree(rng, depth + 1), tree(rng, depth + 1)


def built(expression):
    """Return the schedule of a tree, or the error that it ends in."""
    if not isinstance(expression, tuple):
        return expression
    left, right = map(built, expression[1:])
    try:
        return next((side for side in (left, right) if isinstance(side, tuple)), None) or OPERATORS[expression[0]](
            left, right
        )
    except (TypeError, ValueError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("seed", range(4))
def test_parts_that_are_joined_late_are_those_joined_at_once(seed, monkeypatch):
    rng = random.Random(seed)
    for _ in range(150):
        expression = tree(rng)
        wanted = built(expression)
        with monkeypatch.context() as patch:
            patch.setattr(schedule, "FEW", 1)
            patch.setattr(combine, "FEW", 1)
            found = built(expression)
        if isinstance(wanted, Schedule):
            assert (found.length, found._depth) == (wanted.length, wanted._depth)
            assert schedule.is_pending(found) == schedule.is_pending(wanted)
        assert repr(found) == repr(wanted)
        assert found == wanted


MANY = {
    "one after the other": lambda n: reduce(rshift, [Constant(0.1 + i / n, 3) for i in range(n)]),
    "one before the other": lambda n: reduce(lambda s, i: Constant(0.1, 3) >> s, range(n), Linear(1.0, 0.0, 5)),
    "with warm-ups": lambda n: reduce(lambda s, i: s >> Warmup(2) >> Constant(0.1, 3), range(n // 2), Constant(1.0, 1)),
    "with cool-downs": lambda n: reduce(
        lambda s, i: s >> Constant(0.1, 3) >> Cooldown(2), range(n // 2), Constant(1.0, 1)
    ),
    "warm-ups alone": lambda n: reduce(rshift, [Warmup(2, 0.1)] * n) >> Constant(0.1),
    "product": lambda n: reduce(mul, [Linear(1.0, 0.99, 3)] * n),
    "product, from the right": lambda n: reduce(lambda s, i: 1.0 * s, range(n), Linear(1.0, 0.99, 3)),
    "sum": lambda n: sum([Linear(1.0, 0.5, 3)] * n),
    "smallest": lambda n: reduce(lambda s, i: Minimum((s, Linear(1.0, 0.5, 3 + i))), range(n), Constant(1.0)),
    "largest, from the right": lambda n: reduce(lambda s, i: Maximum((0.5, s)), range(n), Linear(1.0, 0.5, 3)),
    "milestones": lambda n: multi_step(0.1, 0.999, range(1, n)),
}


@pytest.mark.parametrize("kind", MANY)
def test_ten_thousand_parts_are_joined(kind):
    many = MANY[kind](10_000)
    assert abs(len(many.parts) - 10_000) <= 1
    assert len(repr(many)) > 100_000
    assert pickle.loads(pickle.dumps(many)) == many
    again = from_config(to_config(many))
    assert again == many
    assert hash(again) == hash(many)
    assert many(7) == type(many)(many.parts)(7)


def calls(function, *args) -> int:
    """Return how many functions a call calls."""
    profile = cProfile.Profile()
    profile.runcall(function, *args)
    return sum(entry.callcount for entry in profile.getstats())


@pytest.mark.parametrize("kind", MANY)
def test_twice_the_parts_are_twice_the_work(kind):
    assert calls(MANY[kind], 2_000) < 2.5 * calls(MANY[kind], 1_000)


def test_the_count_of_work_sees_squares():
    slow = lambda n: [Schedule.sequence([Constant(0.1, 3)] * i) for i in range(2, n)]  # noqa: E731
    assert calls(slow, 100) > 2.5 * calls(slow, 50)


LONG = "Repeat(Linear(1.0, 0.0, steps={i}), stretch=1.0004)"


@pytest.mark.parametrize("text", ["Table(({}))", "Linear(1, 0, 3){}", "Constant(1, 3){}"])
def test_twice_the_text_is_twice_the_work(text):
    item = {"T": "0.5, ", "L": " * " + LONG, "C": " >> Warmup(3) >> Constant(0.1, 3)"}[text[0]]
    once, twice = (text.format("".join(item.replace("{i}", str(i + 2)) for i in range(n))) for n in (300, 600))
    assert calls(parse, twice) < 2.5 * calls(parse, once)


def test_cycles_are_counted_when_a_step_asks_for_them():
    repeat = parse(LONG.format(i=2))
    assert "_cycles" not in vars(repeat)
    assert repeat(0) == 1.0
    assert "_cycles" not in vars(parse(f"Hold({LONG.format(i=2)}, steps=100)").schedule)
    assert repeat(2**40) < 1.0
    assert "_cycles" in vars(repeat)


def test_sums_in_products_in_sums_are_built_in_proportion():
    def nested(depth):
        return reduce(lambda s, i: 1.0 + 0.5 * s, range(depth), Linear(1.0, 0.5, 3))

    assert calls(nested, 28) < 5 * calls(nested, 14)  # not 2 ** 14 times as many


def test_a_table_of_a_hundred_thousand_values_is_read_again():
    table = Table(tuple(random.Random(0).random() for _ in range(120_000)))
    assert len(repr(table)) > 2_000_000
    assert parse(repr(table)) == table


@pytest.mark.parametrize("text", ["1" * 3_000_000, "0.1 " * 1_000_000, "x," * 1_100_000, "[0.1]," * 500_000])
def test_other_long_texts_are_refused_at_once(text):
    with pytest.raises(ValueError, match="must get at most 2000000 characters"):
        parse(text)


def test_a_notebook_keeps_the_beginning_of_a_very_long_text():
    table = Table(tuple(0.1 + i / 1e5 for i in range(20_000)))
    bundle = table._repr_mimebundle_()
    assert bundle["text/plain"] == repr(table)[:1997] + "..."
    assert sum(map(len, bundle.values())) < 200_000


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: Stretch(s, factor=2.5)])
def test_random_steps_in_many_parts_are_those_of_each_part(wrap):
    many = wrap(reduce(rshift, [Linear(1.0, i / 300, 3) for i in range(300)]) >> Cosine(1.0, 0.0, 100))
    steps = np.random.default_rng(0).integers(0, 3_000, 9_000)
    assert many(steps).tolist() == [many(step) for step in steps.tolist()]


def test_twice_the_steps_in_twice_the_parts_are_twice_the_work():
    def work(n):
        many = reduce(rshift, [Linear(1.0, 0.5, 3)] * n)
        many.parts  # noqa: B018  # written down
        return calls(many, np.random.default_rng(0).integers(0, 3 * n, 9 * n))

    assert work(4_000) < 2.5 * work(2_000)


def test_a_whole_number_of_numpy_takes_the_way_of_an_int():
    cosine, other = Cosine(1.0, 0.0, 100), Cosine(1.0, 0.0, 100)
    assert [cosine(step) for step in np.arange(100)] == [other(step) for step in range(100)]
    assert "_compiler" in vars(cosine)
    assert cosine(np.uint64(2**64 - 1)) == 0.0
    with pytest.raises(ValueError, match=r"finite step >= 0, got np.int64\(-1\)"):
        cosine(np.int64(-1))
