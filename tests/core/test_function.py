"""Functions of the step as schedules: what they give, how they are named, and that no name is ever imported."""

import json
import math
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import falling

import lrsched as ls
from lrsched import Constant, Cosine, Function, Warmup, compat, from_config, parse, register, to_config
from lrsched._core.offers import FUNCTIONS

FUNCTIONS_OF_USERS = {
    "branches": lambda t: 0.1 if t < 100 else 0.01,
    "arithmetic": lambda t: 0.1 * 0.99**t,
    "math": lambda t: 0.1 + math.cos(t / 1000) / 20,
    "a constant": lambda t: 0.1,
    "an int": lambda t: 1,
    "overflows in int64": lambda t: 1 / (1 + t**4),
    "a table": lambda t: [0.1, 0.2, 0.3][int(t) % 3],
    "a negative power": lambda t: 10**-t if t < 300 else 0.0,
    "numpy": lambda t: np.where(t < 50, 0.1, 0.2),
    "its largest": lambda t: 1.0 / (1.0 + np.max(t)),
    "sorts": lambda t: np.sort(np.atleast_1d(t)).reshape(np.shape(t))[()] / 1e5,
    "remainder": lambda t: 0.1 * (t % 7),
    "NumPy scalar": lambda t: np.float32(0.5),
}


@pytest.mark.parametrize("f", FUNCTIONS_OF_USERS.values(), ids=FUNCTIONS_OF_USERS)
def test_an_array_of_steps_has_the_values_of_its_elements(f):
    schedule = Function(f)
    for steps in (np.arange(30_000), np.arange(30)[::-1].copy(), np.array([5]), np.arange(24).reshape(4, 6)):
        before = steps.copy()
        expected = [float(f(t)) for t in steps.reshape(-1).tolist()]
        np.testing.assert_allclose(schedule(steps).reshape(-1), expected, rtol=1e-12)
        assert (steps == before).all()
    assert [schedule(t) for t in range(120)] == [float(f(t)) for t in range(120)]  # compiled in between


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=40), st.lists(st.integers(0, 60), min_size=9, max_size=50))
def test_a_function_of_any_values_agrees_with_itself_in_any_order_of_steps(values, steps):
    schedule = Function(lambda t: values[min(int(t), len(values) - 1)])
    assert schedule(np.array(steps)).tolist() == [schedule(t) for t in steps]


def test_a_function_that_writes_into_its_argument_changes_no_steps():
    def shifting(t):
        t -= 3
        return 0.1 * t * t

    steps = np.arange(40)
    np.testing.assert_allclose(Function(shifting)(steps), 0.1 * (steps - 3.0) ** 2)
    assert steps.tolist() == list(range(40))


def test_a_length_holds_the_value_at_the_end_and_lets_others_follow():
    schedule = Warmup(5) >> Function(falling, steps=10) >> ls.Cooldown(4)
    assert schedule.length == 19
    assert schedule.parts[1](50) == falling(10)
    assert schedule(15) == falling(10)
    assert schedule(17) == falling(10) / 2


def test_a_function_gets_whole_steps_as_ints_and_others_as_floats():
    seen = []
    schedule = Function(lambda t: seen.append(t) or 0.1)
    for whole in (schedule, Warmup(2) >> schedule, ls.Stretch(schedule, 2.0)):
        seen.clear()
        whole(5)
        assert (seen, type(seen[0])) in (([5], int), ([3], int), ([2.5], float))


def test_where_a_schedule_is_taken_a_function_is_too():
    f = FUNCTIONS_OF_USERS["branches"]
    assert (Warmup(5) >> f) == (Warmup(5) >> Function(f))
    assert f * Constant(0.5) == Function(f) * Constant(0.5)
    assert 2 ** Function(f) == ls.Power(2.0, f)
    assert ls.Sum((f, 0.1)) == Function(f) + 0.1
    assert ls.Hold(f, steps=9).length == 9
    assert (ls.Hold(f, steps=9) >> f)(9) == f(0)
    assert ls.svg(f, steps=200) == ls.svg(Function(f), steps=200)
    assert ls.milestones(f, 200)
    assert ls.plot_text(f, 200)
    with pytest.raises(ValueError, match="only the last schedule of a chain may be unbounded"):
        f >> Cosine(0.1, 0.0, steps=5)
    with pytest.raises(TypeError, match="unsupported operand"):
        Warmup(5) >> Cosine


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (0.1, "must be a function of the step, got 0.1"),
        (Cosine, r"got <class .*>: write Cosine\(...\)"),
        (Constant(0.1), "a schedule is one already"),
        ("os:system", "must be a function of the step, got 'os:system'"),
        (lambda: 0.1, "must give a number at step 0, got TypeError"),
        (lambda t: 1 / t, "must give a number at step 0, got ZeroDivisionError"),
        (lambda t: "0.1", "must return a number, got '0.1' at step 0"),
        (lambda t: None, "must return a number, got None at step 0"),
        (lambda t: t < 5, "must return a number, got True at step 0"),
        (lambda t: np.ones(3), "must return a number, got array"),
        (lambda t: math.nan, "must keep every value finite"),
        ([].append, "must be a hashable function|must return a number"),
    ],
)
def test_what_is_no_function_of_the_step_is_refused(f, message):
    with pytest.raises((TypeError, ValueError), match=rf"Function\(f=...\) {message}|{message}"):
        Function(f)


def test_functions_are_equal_by_what_they_call():
    f = FUNCTIONS_OF_USERS["math"]
    assert Function(f) == Function(f)
    assert hash(Function(f, 5)) == hash(Function(f, 5))
    assert Function(f) != Function(lambda t: f(t))
    assert Function(f, 5) != Function(f)
    assert pickle.loads(pickle.dumps(Function(falling, 5))) == Function(falling, 5)
    with pytest.raises((AttributeError, pickle.PicklingError), match="pickle"):
        pickle.dumps(Function(f))


# Names


@pytest.fixture
def fresh(monkeypatch):
    """Nothing that a test registers stays."""
    for name in list(FUNCTIONS):
        monkeypatch.setitem(FUNCTIONS, name, FUNCTIONS[name])
    before = dict(FUNCTIONS)
    yield
    FUNCTIONS.clear()
    FUNCTIONS.update(before)


@pytest.mark.usefixtures("fresh")
def test_a_registered_function_prints_parses_and_is_saved():
    @register
    def quartered(t):
        return 0.1 * 0.25 ** (t // 100)

    schedule = Warmup(5) >> Function(quartered, steps=500)
    assert repr(schedule) == "Linear(0.0, 0.1, steps=5) >> Function(quartered, steps=500)"
    assert parse(repr(schedule)) == schedule
    assert parse("Warmup(5) >> Hold(quartered, 500)") == Warmup(5) >> ls.Hold(quartered, 500)
    assert from_config(json.loads(json.dumps(to_config(schedule)))) == schedule
    assert register(FUNCTIONS_OF_USERS["math"], "waves") is FUNCTIONS_OF_USERS["math"]
    assert repr(Function(FUNCTIONS_OF_USERS["math"])) == "Function(waves)"


def test_a_function_may_be_given_to_the_reader_and_wins_over_a_registered_one():
    f = FUNCTIONS_OF_USERS["branches"]
    assert parse("Function(falling)", functions={"falling": f}) == Function(f)
    config = {"format": 1, "type": "Function", "f": "mine", "steps": 7}
    assert from_config(config, functions={"mine": f}) == Function(f, 7)
    with pytest.raises(TypeError, match=r"parse\(functions=...\)\['f'\] must be a function of the step, got 3"):
        parse("Function(f)", functions={"f": 3})
    with pytest.raises(TypeError, match=r"from_config\(functions=...\) must be a dictionary"):
        from_config(config, functions=[f])


def test_a_function_without_a_name_prints_and_says_that_it_cannot_be_saved():
    schedule = Function(FUNCTIONS_OF_USERS["math"])
    assert repr(schedule) == "Function(<lambda>)"
    with pytest.raises(ValueError, match=r"must hold functions with a name .* register\(f, 'a_name'\)"):
        to_config(0.5 * schedule)
    with pytest.raises(ValueError, match="invalid syntax"):
        parse(repr(schedule))


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "must be an identifier, got '<lambda>'"),
        ("two words", "must be an identifier"),
        ("None", "must be an identifier"),
        ("Cosine", "must not be the name of a class"),
        ("falling", "must be a new name, got 'falling'"),
    ],
)
def test_names_that_mean_something_else_are_refused(name, message):
    with pytest.raises(ValueError, match=rf"register\(name=...\) {message}"):
        register(lambda t: 0.1, name)


@pytest.mark.usefixtures("fresh")
def test_a_function_that_is_defined_again_takes_the_place_of_the_old_one():
    for rate in (0.1, 0.2):

        @register
        def again(t, rate=rate):
            return rate

    assert parse("Function(again)")(0) == 0.2


HOSTILE = [
    "Function(os:system)", "Function(os.system)", "Function('os:system')", "Function(system)", "Function(exec)",
    "Function(__import__)", "Function(lambda t: 1)", "Function(f='antigravity:geohash')", "Function(antigravity)",
    "antigravity", "falling(3)", "Function(falling(3))", "falling", "Function([falling])",
    "Cosine(falling, 0, steps=3)",
]  # fmt: skip


def test_no_text_and_no_configuration_imports_or_calls_what_nobody_has_given():
    program = f"""
import sys
import lrsched as ls
loud = []
def falling(t):
    if loud:
        raise SystemExit("called")
    return 0.5
ls.register(falling)
for text in ("lambda: nothing", "StepLR(0.1, 30)"):  # what an error message needs, which knows names of our own modules
    try:
        ls.parse(text)
    except ValueError:
        pass
before, events = set(sys.modules), []
sys.addaudithook(lambda event, args: events.append((event, args)) if event in ("import", "exec", "os.system") else None)
loud.append(True)
for text in {HOSTILE!r}:
    for read in (ls.parse, lambda t: ls.from_config({{"format": 1, "type": "Function", "f": t}})):
        try:
            read(text)
        except (TypeError, ValueError):
            pass
        else:
            raise SystemExit(text)
events = [event for event in events if event[1][0] is not None]
assert set(sys.modules) == before, set(sys.modules) - before
assert not [event for event in events if event[0] in ("exec", "os.system")], events
assert "antigravity" not in [event[1][0] for event in events if event[0] == "import"], events
print("silent")
"""
    texts = [text for text in HOSTILE if text != "falling"]
    done = subprocess.run(
        [sys.executable, "-c", program.replace(repr(HOSTILE), repr(texts))], check=False, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("silent\n", "")


def test_the_running_product_of_two_threads_is_that_of_one():
    product = compat.torch.MultiplicativeLR(1.0, lambda t: 1.0 + 1e-4 * (t % 3))
    alone = compat.torch.MultiplicativeLR(1.0, lambda t: 1.0 + 1e-4 * (t % 3))
    found = []
    threads = [threading.Thread(target=lambda: found.append([product(t) for t in range(3000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[alone(t) for t in range(3000)]] * 4


# Libraries

SMOOTH, BRANCHING = FUNCTIONS_OF_USERS["arithmetic"], FUNCTIONS_OF_USERS["branches"]


def in_torch(schedule):
    return schedule(pytest.importorskip("torch").arange(300))


def in_jax(schedule):
    return schedule(pytest.importorskip("jax").numpy.arange(300))


def in_tensorflow(schedule):
    return schedule(pytest.importorskip("tensorflow").range(300))


@pytest.mark.parametrize("where", [in_torch, in_jax, in_tensorflow])
@pytest.mark.parametrize("f", [SMOOTH, BRANCHING, FUNCTIONS_OF_USERS["math"]])
def test_every_function_has_its_values_in_every_library(where, f):
    for schedule in (Function(f), Warmup(5) >> f, Function(f, steps=200)):
        np.testing.assert_allclose(np.asarray(where(schedule)), schedule(np.arange(300)), rtol=1e-4)


def jitted(f):
    return pytest.importorskip("jax").jit(f)(np.arange(300))


def graphed(f):
    tensorflow = pytest.importorskip("tensorflow")
    return tensorflow.function(f, autograph=False)(tensorflow.range(300))


def compiled(f):
    torch = pytest.importorskip("torch")
    return torch.compile(f, backend="eager")(torch.arange(300))


@pytest.mark.parametrize("trace", [jitted, graphed, compiled])
def test_traced_code_takes_operations_and_says_what_to_write_in_place_of_a_branch(trace):
    np.testing.assert_allclose(np.asarray(trace(Function(SMOOTH))), Function(SMOOTH)(np.arange(300)), rtol=1e-4)
    with pytest.raises(TypeError, match=r"where it is traced.*write `where` in place of `if`.*Table"):
        trace(Function(BRANCHING))


def test_the_advice_for_traced_code_works():
    table = ls.Table([BRANCHING(t) for t in range(200)])
    np.testing.assert_allclose(jitted(table), Function(BRANCHING)(np.arange(300)), rtol=1e-6)


def test_a_slope_passes_through_a_function():
    torch = pytest.importorskip("torch")
    t = torch.linspace(1.0, 20.0, 30, dtype=torch.float64, requires_grad=True)
    Function(lambda t: 0.1 * t**2)(t).sum().backward()
    np.testing.assert_allclose(t.grad, 0.2 * t.detach())


def test_arithmetic_becomes_code_of_other_libraries_and_a_branch_is_refused():
    names = {"model": pytest.importorskip("torch").nn.Linear(1, 1)}
    exec(ls.to_source(Warmup(5) >> SMOOTH, "torch"), names)
    assert [names["learning_rate"](t) for t in range(20)] == pytest.approx((Warmup(5) >> SMOOTH)(np.arange(20)))
    with pytest.raises(TypeError, match=r"to_source\(...\) must get functions of .* Table"):
        ls.to_source(Function(BRANCHING), "torch")
