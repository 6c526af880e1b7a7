"""Each public constructor refuses each kind of wrong value, with one template of message."""

import inspect
import math
from dataclasses import fields

import pytest
from samples import line

import lrsched as ls
from lrsched._core import offers
from lrsched._core.check import Choice, Flag, Int, Many, OneOf, OrNone, Real, Steps, constraints
from lrsched._core.value import settle
from lrsched._curves.schedule import Complete

CLASSES = sorted(offers.CLASSES["schedule"].values(), key=lambda kind: kind.__name__)
RAMP = ls.Linear(1.0, 0.0, steps=10)


def valid(kind):
    """Return arguments that the class accepts."""
    schedule = kind(10, 0.5) if kind in (ls.Warmup, ls.Cooldown) else line(kind).small
    return {name: getattr(schedule, name) for name, _, _ in constraints(kind)}


@pytest.mark.parametrize("kind", CLASSES)
def test_valid_arguments_are_accepted(kind):
    assert isinstance(kind(**valid(kind)), ls.Schedule)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_field_has_a_constraint(kind):
    assert {name for name, _, _ in constraints(kind)} == set(inspect.signature(kind).parameters)


def undeclared(schedule):
    """Return the names that are set on a schedule and are no declared fields."""
    declared = {name for cls in type(schedule).__mro__ for name in inspect.get_annotations(cls)}
    return sorted(vars(schedule).keys() - declared)


@pytest.mark.parametrize("kind", CLASSES)
def test_all_that_is_set_on_a_new_schedule_is_declared_and_only_what_was_given_is_part_of_it(kind):
    schedule = kind(**valid(kind))
    assert undeclared(schedule) == []
    given = set(inspect.signature(kind).parameters)
    assert ls.to_config(schedule).keys() - {"format", "type"} == given
    assert {f.name for f in fields(schedule)} == given


def test_a_name_that_is_set_and_not_declared_is_found():
    class Odd(ls.Schedule, abstract=True):
        def _check(self):
            settle(self, "_cache", 1.0)

        length = None

        def _reach(self, t):
            return 0.0, 0.0

        def _at(self, t, space):
            return 0.0

    assert undeclared(Odd()) == ["_cache"]


WRONG = [
    pytest.param(kind, name, wrong, id=f"{kind.__name__}-{name}-{i}")
    for kind in CLASSES
    for name, _, rule in constraints(kind)
    for i, wrong in enumerate(rule.wrong())
]


@pytest.mark.parametrize(("kind", "name", "wrong"), WRONG)
def test_a_wrong_argument_is_named_with_what_must_hold_and_what_came(kind, name, wrong):
    message = rf"^{kind.__name__}\({name}=...\)(\[0\])? must (be|have|hold) .*(got|, but) "
    with pytest.raises((TypeError, ValueError), match=message):
        kind(**{**valid(kind), name: wrong})


def test_the_table_of_wrong_arguments_is_long():
    assert len(WRONG) > 800


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ls.Tanh(1.0, 0.0, 10, lower=3.0, upper=3.0), r"Tanh\(lower=...\) must be < upper=3.0, got 3.0"),
        (lambda: ls.Hyperbolic(1.0, 0.0, 10, upper=9), r"Hyperbolic\(upper=...\) must be >= steps=10, got 9"),
        (lambda: ls.NormalizedExponential(1.0, 0.0, 10, rate=1.0), "must not be 1"),
        (lambda: ls.Harmonic(1e300, 1e-300, 10), r"Harmonic\(end=...\) must be within 300 decades"),
        (lambda: ls.Repeat(RAMP, stretch=0.5), r"Repeat\(stretch=...\) must be >= 1 unless times"),
        (lambda: ls.Repeat(RAMP, stretch=1.00001), r"Repeat\(stretch=...\) must give at most 100000 cycles"),
        (lambda: ls.Repeat(RAMP, 5, 0.5, rounding="once"), r"Repeat\(stretch=...\) must leave a step to each cycle"),
        (lambda: ls.Repeat(RAMP, stretch=1.00001, rounding="once"), r"Repeat\(stretch=...\) must give at most"),
        (lambda: ls.Repeat(RAMP, times=2**52), r"Repeat\(times=...\) must end within 2\*\*53 steps"),
        (lambda: ls.Repeat(RAMP, stretch=1e6, times=20), r"Repeat\(times=...\) must end within 2\*\*53 steps"),
        (lambda: ls.Epochs(RAMP, 2**52), r"Epochs\(steps_per_epoch=...\) must end within"),
        (lambda: ls.Extend(ls.Rex(1.0, 0.0, 10)), r"Extend\(schedule=...\) must be a Linear, Cosine"),
        (lambda: ls.Warp(ls.Constant(1.0), 2.0), r"Warp\(schedule=...\) must be a ramp"),
        (
            lambda: ls.Constant(1.0) >> RAMP,
            r"only the last schedule of a chain may be unbounded, but part 0 is Constant",
        ),
        (lambda: ls.Constant(1.0) >> ls.Cooldown(5), r"only the last .* give it a length \(steps=...\) or cut it"),
        (lambda: RAMP >> ls.Warmup(5) >> ls.Cooldown(5), "a cool-down cannot follow a warm-up"),
        (lambda: 0.5 * ls.Warmup(5), r"Product\(parts=...\)\[1\] must be complete, but a height is missing"),
        (lambda: ls.Repeat(ls.Warmup(5) >> ls.Warmup(3)), r"Repeat\(schedule=...\) must be complete"),
        (lambda: ls.Warmup(5)(0), r"Warmup\(5\) takes its height from a neighbour: put it before"),
        (lambda: (ls.Cooldown(5) >> RAMP)(0), r"Cooldown\(5\) takes its height from a neighbour: put it after"),
        (lambda: ls.clip(RAMP, low=0.5, high=0.1), r"clip\(low=...\) must be <= high=0.1, got 0.5"),
        (lambda: RAMP * -1.0, r"Product\(parts=...\)\[1\] must be a finite number >= 0, got -1.0"),
        (lambda: RAMP * math.nan, r"Product\(parts=...\)\[1\] must be a finite number >= 0, got nan"),
        (lambda: ls.wsd(1.0, steps=10, warmup=5, cooldown=5), r"wsd\(steps=...\) must be an int > 10"),
        (lambda: ls.warmup_cosine(1.0, steps=5, warmup=5), r"warmup_cosine\(steps=...\) must be an int > 5"),
        (lambda: ls.multi_step(1.0, 0.1, [5, 3]), r"multi_step\(milestones=...\) must increase"),
        (
            lambda: ls.piecewise_constant([5, 5], [1, 2, 3]),
            r"piecewise_constant\(boundaries=...\) must increase strictly",
        ),
        (lambda: ls.piecewise_constant([5], [1, 2, 3]), "one value more than there are boundaries, got 3 for 1"),
        (lambda: ls.piecewise_linear([1, 5], [1, 2]), r"piecewise_linear\(steps=...\) must begin with 0"),
        (lambda: ls.triangular2(1.0, 0.5, up=3), r"triangular2\(high=...\) must be a finite number >= 1, got 0.5"),
        (
            lambda: ls.slanted_triangular(1.0, 10, warmup=0.0),
            r"warmup=...\) must be an int >= 1 .* between 0 and 1, got 0.0",
        ),
        (lambda: ls.flat_cosine(1.0, 10, hold=0.0), r"flat_cosine\(hold=...\) must be an int >= 1 .* between 0 and 1"),
        (lambda: ls.one_cycle(1.0, 10, 3, start_divisor=0.0), r"one_cycle\(start_divisor=...\) must be .* > 0"),
        (lambda: ls.noam(0, 10), r"noam\(model_size=...\) must be an int >= 1"),
        (lambda: ls.chebyshev(1.0, 17), r"chebyshev\(doublings=...\) must be an int >= 0 and <= 16"),
        (lambda: ls.wsd_s(1.0, [10, 5], cooldown=5), r"wsd_s\(periods=...\)\[1\] must be an int > 5"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("other", ["0.5", None, [0.5], True, 1j, object()])
@pytest.mark.parametrize("operate", [lambda a, b: a * b, lambda a, b: b * a, lambda a, b: a + b, lambda a, b: a**b])
def test_only_numbers_and_schedules_combine(operate, other):
    with pytest.raises(TypeError, match=r"unsupported operand|must be a finite number|can't multiply"):
        operate(RAMP, other)


@pytest.mark.parametrize("other", ["0.5", None, 0.5, [RAMP]])
def test_only_schedules_chain(other):
    with pytest.raises(TypeError, match="unsupported operand"):
        RAMP >> other


@pytest.mark.parametrize("step", [-1, -0.5, math.nan, math.inf, -math.inf])
def test_a_python_number_that_is_no_step_is_a_value_error(step):
    with pytest.raises(ValueError, match=r"schedule\(step\) must get a finite step >= 0, got"):
        RAMP(step)


@pytest.mark.parametrize(
    "step", ["3", b"3", None, ["1"], (1, None), [[1], [2, 3]], {1, 2}, True, [True], 1j, {"t": 1}, object(), lambda: 3]
)
def test_anything_that_is_no_step_is_a_type_error(step):
    with pytest.raises(TypeError, match=r"schedule\(step\) must get an int, a float or an array"):
        RAMP(step)


class Offers:
    """Something that offers itself as an array of NumPy, as a column of pandas does."""

    def __repr__(self):
        return "Offers()"

    def __array__(self, dtype=None, copy=None):
        import numpy as np

        return np.array([0, 3, 9], dtype=dtype)


@pytest.mark.parametrize("steps", [[0, 3, 9], (0, 3.0, 9), range(0, 12, 3), [[0, 3], [9, 1]], [], Offers()], ids=repr)
def test_sequences_of_steps_are_arrays_of_them(steps):
    import numpy as np

    np.testing.assert_array_equal(RAMP(steps), RAMP(np.asarray(steps)))


def test_parts_of_no_steps_vanish_from_a_chain():
    chain = ls.Warmup(5) >> ls.Constant(0.1, steps=9)
    assert (ls.Warmup(0) >> chain) == chain == (chain >> ls.Cooldown(0))
    assert (ls.Warmup(0) >> RAMP) is RAMP
    assert (
        ls.Schedule.sequence([ls.Warmup(0), *chain.parts, ls.Cooldown(0)])
        == chain
        == ls.Chain((ls.Warmup(0), *chain.parts))
    )
    assert (ls.Warmup(0) >> ls.Constant(0.1) >> ls.Cooldown(0)) == ls.Constant(0.1)
    assert repr(ls.Warmup(0) >> ls.Cooldown(3)) == "Cooldown(3)"
    with pytest.raises(ValueError, match=r"Chain\(parts=...\) must hold two or more schedules that take steps"):
        ls.Chain((ls.Warmup(0), RAMP))


@pytest.mark.parametrize("part", [ls.Warmup(0), ls.Cooldown(0.0)])
def test_a_part_of_no_steps_alone_is_refused(part):
    with pytest.raises(ValueError, match="takes its height from a neighbour"):
        part(0)
    with pytest.raises(ValueError, match="a height is missing"):
        ls.Shift(part, 1)


def test_a_recipe_without_cooldown_holds():
    assert ls.wsd(0.1, 100, 10, cooldown=0) == ls.Warmup(10) >> ls.Constant(0.1, 90)
    assert ls.wsd_s(0.1, [20, 30], cooldown=0) == ls.Constant(0.1, 20) >> ls.Constant(0.1, 30)


@pytest.mark.parametrize("dtype", [bool, complex, str, object, "datetime64[s]"])
def test_arrays_of_other_kinds_are_a_type_error(dtype):
    import numpy as np

    with pytest.raises(TypeError, match=r"schedule\(step\) must get an int, a float or an array"):
        RAMP(np.zeros(3, dtype=dtype))


@pytest.mark.parametrize(
    "rule",
    [
        Real(0.0, 1.0),
        Int(2, 5),
        Steps(),
        Flag(),
        Choice(("a", "b")),
        Many(Real()),
        OneOf(str, "a text"),
        Complete(bounded=True),
    ],
)
def test_what_a_constraint_calls_wrong_it_refuses_and_so_does_one_that_admits_none(rule):
    for wrong in rule.wrong():
        with pytest.raises((TypeError, ValueError), match=r"^here(\[0\])? must "):
            rule("here", wrong)
        if wrong is not None:
            with pytest.raises((TypeError, ValueError), match=r"^here(\[0\])? must .*( or None, got |, but )"):
                OrNone(rule)("here", wrong)
    assert OrNone(rule)("here", None) is None
    assert None not in list(OrNone(rule).wrong())


def test_a_text_that_looks_like_a_number_gets_a_hint():
    with pytest.raises(TypeError, match="YAML reads 1e-3 as text"):
        ls.Constant("1e-3")


def test_numbers_of_numpy_become_python_numbers():
    import numpy as np

    schedule = ls.Linear(np.float32(0.5), np.int64(0), steps=np.int32(4))
    assert schedule == ls.Linear(0.5, 0.0, 4)
    assert [type(schedule.start), type(schedule.end), type(schedule.steps)] == [float, float, int]


def test_a_schedule_cannot_be_changed():
    with pytest.raises(AttributeError, match="cannot assign to field 'start'"):
        RAMP.start = 2.0
