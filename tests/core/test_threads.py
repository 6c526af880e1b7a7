"""Values that threads share: whoever calls first, last or in between gets what one thread alone would get."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from strategies import schedules

import lrsched._curves.schedule as module
from lrsched import Chain, Cosine, Exponential, Linear, Repeat, Table, Warmup, parse, rules, wsd
from lrsched._curves.schedule import CALLS_BEFORE_COMPILING
from lrsched._spaces.scalar import SCALAR
from lrsched.rules._blocks.threads import share

THREADS = 8
STEPS = range(40 * CALLS_BEFORE_COMPILING)
CURVES = [
    Warmup(100) >> Cosine(3e-4, 0.0, steps=1_500),
    wsd(0.1, 1_800, 50, 300),
    Repeat(Cosine(0.1, 0.0, steps=7), stretch=1.5, scale=0.9),
    Repeat(Table((0.3, 0.2, 0.1)), times=600) * Exponential(1.0, 0.999) + 0.01,
    Chain(tuple(Linear(0.1 * k, 0.1, steps=9) for k in range(200))),  # too long to be compiled into one function
]


@pytest.fixture(autouse=True)
def restless():
    """Let threads take turns as often as the interpreter can, where they do not run at the same time anyway."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(work, count=THREADS):
    """Call `work(i)` in threads that begin at the same moment; return what they return, or raise what they raise."""
    barrier = threading.Barrier(count)

    def begin(i):
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(begin, range(count)))


def fresh(schedule):
    """Return an equal schedule that nobody has called."""
    return parse(repr(schedule))


@pytest.mark.parametrize("schedule", CURVES, ids=lambda schedule: type(schedule).__name__)
def test_threads_that_share_a_schedule_get_its_exact_values(schedule):
    expected = [float(schedule._at(t, SCALAR)) for t in STEPS]
    # Each thread begins elsewhere, so that they pass the threshold of compiling at different steps.
    offsets = [i * len(STEPS) // THREADS for i in range(THREADS)]
    orders = [[*STEPS[offset:], *STEPS[:offset]] for offset in offsets]
    for _ in range(3):
        shared = fresh(schedule)
        found = together(lambda i, shared=shared: [shared(t) for t in orders[i]])
        for order, values in zip(orders, found, strict=True):
            assert values == [expected[t] for t in order]
        assert "_number" in vars(shared)  # compiled, and nobody has undone it
        assert shared == schedule


@given(schedules())
def test_threads_that_share_any_schedule_agree(schedule):
    shared, steps = fresh(schedule), range(3 * CALLS_BEFORE_COMPILING)
    expected = [float(schedule._at(t, SCALAR)) for t in steps]
    assert all(values == expected for values in together(lambda i: [shared(t) for t in steps], 3))


def test_threads_compile_a_schedule_once(monkeypatch):
    made = []
    compiled = module.compiled
    monkeypatch.setattr(module, "compiled", lambda curve: made.append(curve) or compiled(curve))
    for k in range(30):
        shared = Linear(float(k), 1.0, steps=9)
        together(lambda i, shared=shared: [shared(t) for t in range(2 * CALLS_BEFORE_COMPILING)])
        assert len(made) == k + 1


def test_threads_that_share_arrays_of_steps_get_the_same_values():
    shared, steps = fresh(CURVES[2]), np.arange(20_000)
    expected = CURVES[2](steps)
    for values in together(lambda i: [shared(steps) for _ in range(20)]):
        assert all(np.array_equal(array, expected) for array in values)


def test_threads_build_print_and_read_schedules_at_the_same_time():
    texts = [repr(schedule) for schedule in CURVES]
    for found in together(lambda i: [repr(parse(text)) for text in texts for _ in range(10)]):
        assert found == [text for text in texts for _ in range(10)]


def test_threads_that_share_a_rule_get_the_same_parameters():
    rule, rng = rules.ClipByGlobalNorm(1.0) >> rules.Adam(), np.random.default_rng(0)
    params = [rng.normal(size=shape) for shape in [(3, 4), (50, 70), (5,)] * 10]
    grads = [rng.normal(size=p.shape) for p in params]

    def train(_):
        own, slots = [p.copy() for p in params], rules.init(rule, params)
        for t in range(10):
            own, slots = rules.apply(rule, own, grads, slots, lr=0.1, step=t)
        return own

    expected = train(0)
    for found in together(train):
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_each_task_of_a_large_update_is_done_once():
    for _ in range(20):
        done = []
        share(lambda space, task, done=done: done.append(task), list(range(THREADS)), list(range(2_000)))
        assert sorted(done) == list(range(2_000))
