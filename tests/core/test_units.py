"""Lengths in units of a run: what a budget makes of them, and the templates that wait for one."""

import math
import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrsched as ls
from lrsched import Budget, Template, parse
from lrsched._core.offers import CALLS, CLASSES
from lrsched._curves.template import _form, is_length

RUN = Budget(steps=10_000, steps_per_epoch=500, tokens_per_step=4_000_000, samples_per_step=1_024)


@pytest.mark.parametrize(
    ("length", "updates"),
    [
        ("5%", 500),  # 10,000 * 5 / 100
        ("0.1dur", 1_000),
        ("3ep", 1_500),  # 3 * 500
        ("2e9tok", 500),  # 2e9 / 4e6
        ("0.4Btok", 100),
        ("1_024_000sp", 1_000),
        ("100ba", 100),
        ("10k", 10_000),
        ("1.5k", 1_500),
        ("0.5 EP", 250),
        ("7", 7),
        (7, 7),
        (7.0, 7),
        (0, 0),
        (1.0, 1),
        (0.05, 500),
        (1 / 3, 3_333),
        ("9007199254740992", 2**53),
    ],
)
def test_a_length_is_so_many_updates(length, updates):
    assert RUN(length) == updates
    assert type(RUN(length)) is int


@given(st.integers(1, 2**53), st.integers(0, 10**6))
def test_two_parts_make_up_the_run_but_for_the_halves_of_an_odd_number(steps, millionths):
    budget = Budget(steps=steps)
    first, second = (budget(f"{part / 10_000:.4f}%") for part in (millionths, 10**6 - millionths))
    half = steps % 2 and 2 * millionths == 10**6
    assert first + second == steps - half
    assert abs(first - Fraction(steps * millionths, 10**6)) <= Fraction(1, 2)


def test_a_half_goes_down_in_the_first_half_of_a_run_and_up_in_the_second():
    budget = Budget(steps=10)
    assert [budget(text) for text in ("5%", "15%", "45%", "55%", "95%")] == [0, 1, 4, 6, 10]
    assert Budget(steps_per_epoch=3)("0.5ep") == 1  # 1.5 updates of a run of no known end
    for steps in range(1, 60):
        run = Budget(steps=steps)
        assert all(run(f"{p}%") + run(f"{100 - p}%") == steps for p in range(50))


@given(st.integers(1, 10**12), st.lists(st.integers(1, 99), min_size=1, max_size=8))
def test_parts_that_follow_each_other_add_up(steps, weights):
    parts = [Fraction(weight, 100) for weight in weights]
    texts = [f"{weight}%" for weight in weights]
    budget = Budget(steps=steps)
    whole = budget("0%", *texts)
    assert abs(sum(whole) - sum(parts) * steps) <= Fraction(1, 2)
    assert all(abs(n - part * steps) <= 1 for n, part in zip(whole[1:], parts, strict=True))
    assert budget("30%", "30%", "40%")[0] + sum(budget("30%", "30%", "40%")[1:]) == steps


@given(st.integers(1, 10**15), st.integers(1, 10**7))
def test_tokens_are_counted_in_whole_numbers_of_any_size(tokens, per_step):
    whole, rest = divmod(tokens, per_step)
    expected = whole + (2 * rest > per_step)
    assert Budget(tokens_per_step=per_step)(f"{tokens}tok") == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RUN("5sec"), r"must be a length such as '5%', .* got '5sec'"),
        (lambda: RUN("1.5ba"), "must be a whole number of updates, got '1.5ba'"),
        (lambda: RUN("-5%"), "must be a length"),
        (lambda: RUN("9" * 70 + "ep"), "must be a length"),
        (lambda: RUN("1e99%"), r"at most 2\*\*53 updates"),
        (lambda: Budget(steps=10)("3ep"), r"Budget\(steps_per_epoch=...\) must be given for lengths such as '3ep'"),
        (lambda: Budget()("5%"), r"Budget\(steps=...\) must be given"),
        (lambda: Budget(steps=10)("5tok"), r"Budget\(tokens_per_step=...\) must be given"),
        (lambda: Budget(steps=10)("5sp"), r"Budget\(samples_per_step=...\) must be given"),
        (lambda: Budget(steps="5%"), "must not be a part of itself"),
        (lambda: Budget(steps="3ep"), r"Budget\(steps_per_epoch=...\) must be given"),
        (lambda: Budget(steps=0), r"Budget\(steps=...\) must be an int >= 1"),
        (
            lambda: ls.Cosine(1, 0, "5%"),
            r"must be an int .* Budget\(steps=...\)\('5%'\) is a number",
        ),
    ],
)
def test_what_is_no_length_or_has_no_size_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("length", [None, True, 2.5, [1], math.nan, b"5%"])
def test_a_length_is_a_number_or_a_text(length):
    with pytest.raises(
        (TypeError, ValueError), match=r"budget\(length\) must be an int >= 0.*or a part|must be a length"
    ):
        RUN(length)


TEXTS = {
    "Warmup('5%') >> Cosine(3e-4, 0, steps='95%')": "Warmup(500) >> Cosine(3e-4, 0, steps=9500)",
    "Warmup(5%) >> Cosine(3e-4, 0, steps=95%)": "Warmup(500) >> Cosine(3e-4, 0, steps=9500)",
    "Warmup(2e9tok) >> Constant(0.1, 3ep) >> Cooldown(1k)": "Warmup(500) >> Constant(0.1, 1500) >> Cooldown(1000)",
    "Warmup('10k') >> Constant(0.1)": "Warmup(10000) >> Constant(0.1)",
    "wsd(3e-4, steps='100%', warmup='5%', cooldown='20%')": "wsd(3e-4, 10000, 500, 2000)",
    "wsd(3e-4, steps='50%', warmup=0.1, cooldown='20%')": "wsd(3e-4, 5000, 500, 2000)",
    "0.5 * (Warmup('5%') >> Constant(1)) ** 2 + 0.1": "0.5 * (Warmup(500) >> Constant(1)) ** 2 + 0.1",
    "Repeat(Cosine(1, 0, '1ep'), times=3) * Linear(1, 0, '100%')": "Repeat(Cosine(1, 0, 500), 3) * Linear(1, 0, 10000)",
    "Epochs(Cosine(1, 0, '3ep'), '1ep')": "Epochs(Cosine(1, 0, 3), 500)",
    "Epochs(Cosine(1, 0, '100%'), 100)": "Epochs(Cosine(1, 0, 100), 100)",
    "Stretch(Cosine(1, 0, '100%'), 2.5)": "Stretch(Cosine(1, 0, 4000), 2.5)",
    "Batches(Cosine(1, 0, '100%'), 4)": "Batches(Cosine(1, 0, 40000), 4)",
    "Hold(PowerLaw(1, 0.5, '5%'), '50%') >> Cooldown('50%')": "Hold(PowerLaw(1, 0.5, 500), 5000) >> Cooldown(5000)",
    "multi_step(0.1, 0.1, milestones=('50%', '75%'))": "multi_step(0.1, 0.1, (5000, 7500))",
    "Minimum((Linear(0, 1, '10%'), Constant(0.5)))": "Minimum((Linear(0, 1, 1000), Constant(0.5)))",
    "Shift(Cosine(1, 0, '100%'), '5%')": "Shift(Cosine(1, 0, 10000), 500)",
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_template_builds_what_one_writes_with_numbers(text):
    template = parse(text)
    assert isinstance(template, Template)
    assert template.build(RUN) == parse(TEXTS[text])
    with pytest.raises(TypeError, match=r"template\.build\(Budget\(steps=...\)\) returns the schedule: build it first"):
        template(3)


@pytest.mark.parametrize("text", TEXTS)
def test_a_template_comes_back_from_text_json_and_pickles(text):
    template = parse(text)
    for again in (
        parse(repr(template)),
        parse(str(template)),
        eval(repr(template), {"Template": Template}),
        ls.from_config(ls.to_config(template)),
        pickle.loads(pickle.dumps(template)),
    ):
        assert again == template
        assert hash(again) == hash(template)
        assert again.build(RUN) == template.build(RUN)


@pytest.mark.parametrize("budget", [RUN, Budget(), Budget(steps="3ep", steps_per_epoch=7)])
def test_a_budget_is_a_value(budget):
    for again in (parse(repr(budget)), ls.from_config(ls.to_config(budget)), pickle.loads(pickle.dumps(budget))):
        assert again == budget
        assert hash(again) == hash(budget)


@given(st.integers(1_000, 10**9), st.lists(st.integers(5, 40), min_size=2, max_size=6))
def test_the_parts_of_a_chain_end_where_the_parts_of_the_run_do(steps, weights):
    text = " >> ".join(f"Linear(1.0, 0.5, steps='{weight}%')" for weight in weights)
    built = parse(text).build(Budget(steps=steps))
    ends, at = [], 0
    for weight in weights:
        at += weight
        ends.append(Budget(steps=steps)(f"{at}%"))
    assert [*built.starts[1:], built.length] == ends


REFUSED = {
    "Cosine('5%', 0, 5)": r"Cosine\(start=...\) must be a finite number",
    "Cosine(1, 0, stepz='5%')": "unexpected keyword argument 'stepz'",
    "Cosine(-1, 0, '5%')": r"Cosine\(start=...\) must be a finite number >= 0",
    "Cosine(1, 0, '5sec')": r"Cosine\(steps=...\) must be an int",
    "Cosine(1, 0, '1.5ba')": "whole number of updates",
    "Warmup('5%', shape='bent')": r"Warmup\(shape=...\) must be one of",
    "Repeat(Linear(1, 0, '5%'), times='3ep')": r"Repeat\(times=...\) must be an int",
    "noam('5%', 100)": r"noam\(model_size=...\) must be an int",
    "Batches(Linear(1, 0, 9), '5%')": r"batches_per_update=...\) must be an int",
    "Table(('5%', 1))": r"Table\(values=...\)\[0\] must be",
    "Sines('5%')": "'Sines' is not a known schedule",
    "Warmup('5%') >> 3": "unsupported operand",
    "Warmup(5sec)": "line 1",
    "5%": "must describe a schedule",
    "Shift(" * 70 + "Linear(1, 0, 5%)" + ", 1)" * 70: "deeper than 64 levels",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_names_arguments_and_units_are_checked_when_a_template_is_made(text):
    with pytest.raises(ValueError, match=REFUSED[text]):
        parse(text)


def test_what_the_run_decides_is_checked_when_it_is_built():
    with pytest.raises(ValueError, match=r"Cosine\(steps=...\) must be an int >= 1 .* got 0 where '0.001%' is 0"):
        parse("Cosine(1, 0, '0.001%')").build(Budget(steps=10))


@pytest.mark.parametrize(
    "use",
    [
        lambda t: ls.Repeat(t),
        lambda t: ls.Sum((t, 1.0)),
        lambda t: ls.svg(t),
        lambda t: ls.milestones(t),
        lambda t: ls.to_source(t, "torch"),
        lambda t: ls.equality(t, t, steps=5),
    ],
)
def test_what_wants_a_schedule_says_how_a_template_becomes_one(use):
    with pytest.raises(TypeError, match=r"must be a .*, got Template.*template.build\(Budget\(steps=...\)\)"):
        use(parse("Warmup('5%') >> Constant(1)"))


def test_every_argument_that_counts_steps_takes_a_length_and_no_other():
    takes = {
        name
        for make in {**CLASSES["schedule"], **CALLS["schedule"]}.values()
        if make not in (Budget, Template)
        for name, rule in _form(make)[1].items()
        if is_length(name, rule)
    }
    assert takes == {
        "boundaries", "cooldown", "down", "every", "hold", "milestones", "periods", "steps", "steps_per_epoch",
        "timescale", "up", "upper", "warmup",
    }  # fmt: skip


ORDER = ("peak", "start", "steps", "periods", "warmup", "hold", "cooldown", "end", "shape")


def test_the_recipes_order_their_arguments_alike():
    for name, make in CALLS["schedule"].items():
        names = [argument for argument in _form(make)[0].parameters if argument in ORDER]
        if name != "range_test":  # from `start` to `end` in `steps`, as a ramp
            assert names == sorted(names, key=ORDER.index), name


@given(st.integers(100, 10**6), st.integers(1, 30), st.integers(1, 30))
def test_recipes_take_parts_of_their_steps(steps, a, b):
    budget = Budget(steps=steps)
    counted = (budget(f"{a}%"), budget(f"{b}%"))
    parts = (a / 100, b / 100)
    for recipe in (ls.wsd, ls.power_schedule):
        assert recipe(0.1, steps, *parts) == recipe(0.1, steps, *counted)
    for recipe in (ls.warmup_cosine, ls.warmup_linear, ls.one_cycle):
        assert recipe(0.1, steps, parts[0]) == recipe(0.1, steps, counted[0])
    assert ls.wsd_s(0.1, [steps, steps], warmup=parts[0], cooldown=parts[1]) == ls.wsd_s(
        0.1, [steps, steps], warmup=Budget(steps=2 * steps)(f"{a}%"), cooldown=counted[1]
    )


def test_one_is_one_update_and_not_the_whole():
    assert ls.warmup_linear(0.1, 100, 1.0) == ls.warmup_linear(0.1, 100, 1)


def test_old_names_of_recipes_still_work_with_a_warning():
    with pytest.warns(DeprecationWarning, match=r"flat_cosine\(flat=...\) is now flat_cosine\(hold=...\)"):
        assert ls.flat_cosine(0.1, 100, flat=0.5) == ls.flat_cosine(0.1, 100, hold=0.5)
