"""Updates by blocks of small stacks and cut tensors equal those of whole tensors, new or in place."""

import gc
import math
import operator
import threading
import weakref
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from rule_samples import alone

from lrsched import rules
from lrsched._core.check import Choice
from lrsched._spaces.ops import COMMON
from lrsched.rules._blocks import blocks as _blocks
from lrsched.rules._blocks import loops as _loops
from lrsched.rules._blocks import memory as _memory
from lrsched.rules._blocks import passes as _passes
from lrsched.rules._blocks import threads as _threads
from lrsched.rules._ops import slots as _slots

RNG = np.random.default_rng(0)
# Elements of a block here. Stacks of tensors, tensors of one block, and tensors of several with a shorter last one.
LENGTH = 64
SIZES = _memory.Sizes(block=LENGTH, pack=3 * LENGTH, small=LENGTH, kept=10**6, shared=10**9)
SHAPES = [(5,), (), (40,), (5,), (9, 20), (5,), (0,), (200,), (1, 64), (13, 5), (), (5,)]

ELEMENTWISE = [
    *(sample.rule for sample in alone() if not sample.sums),
    rules.RMSprop(centered=True, momentum=0.9, bias_correction=True),
    rules.Adam(eps_at="inside", amsgrad="corrected"),
    rules.AdamW(min_ndim=2),
    rules.RAdam(),
    rules.AdaBelief(),
    rules.ClipByValue(0.5) >> rules.L1(0.1, min_ndim=1) >> rules.SignSGD(),
]
SUMMING = [
    *(sample.rule for sample in alone() if sample.sums),
    rules.lars(),
    rules.lamb(upper=1.0),
    rules.Layerwise(rules.RMSprop(), clip=True, min_ndim=0),
    rules.ClipByNorm(0.5) >> rules.lars(),
    rules.ClipByGlobalNorm(1.0) >> rules.Adam() >> rules.ClipByGlobalNorm(0.01),
    rules.ClipByNorm(0.5) >> rules.ClipByGlobalNorm(1.0) >> rules.lamb() >> rules.ClipByNorm(0.01),
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Let blocks be small, and used for the smallest update; no array is updated by itself that can be stacked."""
    monkeypatch.setattr(_memory, "NUMPY", SIZES)
    monkeypatch.setattr(_memory, "TORCH", SIZES)
    monkeypatch.setattr(_blocks, "MANY", 0)
    monkeypatch.setattr(_loops, "better", lambda *given: False)


@pytest.fixture
def whole(monkeypatch):
    """Return `rules.apply` on whole tensors."""

    def apply(*arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(_blocks, "library_for", lambda xp, donate: None)
            return rules.apply(*arguments, **options)

    return apply


@pytest.fixture
def used(monkeypatch):
    """Return a list that grows by one with each update by blocks."""
    made: list[Any] = []
    work = _blocks._work
    monkeypatch.setattr(_blocks, "_work", lambda *arguments: made.append(arguments) or work(*arguments))
    return made


def problem(shapes=SHAPES, dtype=np.float32):
    """Return parameters and the gradients of three steps."""
    return [[RNG.normal(size=shape).astype(dtype) for shape in shapes] for _ in range(4)]


def trained(apply, rule, params, gradients, **options):
    """Return parameters and slots after an update a gradient."""
    slots = rules.init(rule, params)
    for step, g in enumerate(gradients):
        params, slots = apply(rule, params, g, slots, **{"lr": 0.1, "step": step} | options)
    return params, slots


def arrays_of(tree):
    found: list[Any] = []
    rules.map_arrays(found.append, tuple(tree[0]))
    for slots in tree[1]:
        rules.map_arrays(found.append, slots)
    return found


def copies(arrays):
    return [x.copy() for x in arrays]


def assert_same(found, expected, rtol=0.0):
    for a, b in zip(arrays_of(found), arrays_of(expected), strict=True):
        assert (a.dtype, a.shape, type(a)) == (b.dtype, b.shape, type(b))
        if rtol:
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("rule", ELEMENTWISE, ids=repr)
def test_blocks_give_the_same_bits(rule, donate, whole, used):
    start, *gradients = problem()
    found = trained(rules.apply, rule, copies(start), gradients, donate=donate)
    assert len(used) == 3
    assert_same(found, trained(whole, rule, start, gradients))


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("rule", SUMMING, ids=repr)
def test_blocks_give_the_same_up_to_the_rounding_of_sums(rule, donate, whole, used):
    start, *gradients = problem(dtype=np.float64)
    found = trained(rules.apply, rule, copies(start), gradients, donate=donate)
    assert len(used) == 3
    assert_same(found, trained(whole, rule, start, gradients), rtol=1e-12)


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("rule", [*ELEMENTWISE, *SUMMING], ids=repr)
def test_any_number_of_threads_gives_the_same_bits(rule, donate, monkeypatch):
    shapes = [*SHAPES, (50, 40)]  # the last one is most of it
    start, *gradients = problem(shapes)
    expected = trained(rules.apply, rule, copies(start), gradients, donate=donate)
    monkeypatch.setattr(_memory, "NUMPY", replace(SIZES, shared=1))
    monkeypatch.setattr(_memory, "_NUMPY", replace(_memory._NUMPY, threads=lambda: 3))
    started = []
    start_one = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: started.append(self) or start_one(self))
    assert_same(trained(rules.apply, rule, copies(start), gradients, donate=donate), expected)
    assert len(started) >= 3 * 2 * 2  # steps; two helpers for the largest tensor and for the others
    assert not any(thread.is_alive() for thread in started)


def test_values_that_are_not_finite_pass_without_a_warning_in_any_thread(monkeypatch, recwarn):
    monkeypatch.setattr(_memory, "NUMPY", replace(SIZES, shared=1))
    monkeypatch.setattr(_memory, "_NUMPY", replace(_memory._NUMPY, threads=lambda: 3))
    start, gradient, *_ = problem([(50, 40), (300,), (300,), (300,)])
    for g in gradient:
        g.fill(np.inf)
    trained(rules.apply, rules.Adam(), start, [gradient])
    assert not recwarn.list


def test_an_error_in_a_thread_ends_all_and_is_raised():
    done: list[int] = []
    before = threading.active_count()

    def work(space, task):
        done.append(task)
        if task == 5:
            raise KeyError(task)

    with pytest.raises(KeyError, match="5"):
        _threads.share(work, [0, 1, 2], range(1000))
    assert len(done) < 1000
    assert threading.active_count() == before


def test_threads_have_memory_of_their_own(monkeypatch):
    given = []
    share = _threads.share
    for module in (_blocks, _passes):
        monkeypatch.setattr(
            module, "share", lambda work, spaces, tasks: given.append(spaces) or share(work, spaces, tasks)
        )
    monkeypatch.setattr(_memory, "NUMPY", replace(SIZES, shared=1))
    monkeypatch.setattr(_memory, "_NUMPY", replace(_memory._NUMPY, threads=lambda: 3))
    start, gradient, *_ = problem([*SHAPES, (50, 40)])
    trained(rules.apply, rules.Adam(), start, [gradient])
    found = [[id(space[0] if isinstance(space, list) else space) for space in spaces] for spaces in given]
    assert {len(set(own)) for own in found if len(own) > 1} == {3}
    assert all(len(set(own)) == len(own) for own in found)


def test_one_thread_does_all_where_no_other_is_to_be_had(monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    done = []
    _threads.share(lambda space, task: done.append((space, task)), ["a", "b"], range(5))
    assert done == [("a", i) for i in range(5)]


@pytest.mark.parametrize(("asked", "found"), [("1", 1), ("2,1", 2), ("", 4), ("many", 4), ("99", 4), ("0", 1)])
def test_threads_are_no_more_than_asked_for(asked, found, monkeypatch):
    monkeypatch.setattr(_threads.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert _threads.workers() == found
    monkeypatch.setattr(_threads.os, "sched_getaffinity", lambda pid: {3})
    assert _threads.workers() == 1


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("rule", [rules.lamb(), rules.ClipByNorm(0.5) >> rules.lamb()], ids=repr)
def test_what_is_kept_between_passes_is_what_would_be_computed_again(rule, donate, monkeypatch):
    start, *gradients = problem([(9, 20), (40, 40), (5,)], np.float64)
    passes: list[Any] = []
    one = _passes.Stack._pass
    monkeypatch.setattr(
        _passes.Stack, "_pass", lambda self, do, *rest: passes.append(len(do.do.steps)) or one(self, do, *rest)
    )
    kept = trained(rules.apply, rule, copies(start), gradients, donate=donate)
    operations = sum(passes)
    passes.clear()
    monkeypatch.setattr(_memory, "NUMPY", replace(SIZES, kept=0))
    assert_same(trained(rules.apply, rule, copies(start), gradients, donate=donate), kept, rtol=1e-14)
    # Where the results lie in memory of their own, there is room in any case.
    assert sum(passes) > operations if donate else sum(passes) == operations


@pytest.mark.parametrize("length", [1, 2047, 4096, 4097, 50_000])
@pytest.mark.parametrize("rows", [1, 3])
def test_sums_of_products_keep_their_digits(length, rows):
    x, y = np.abs(RNG.normal(size=(2, rows, length))).astype(np.float32)
    found = _memory._dots(x, y)
    assert (found.shape, found.dtype) == ((rows, 1), np.float32)
    exact = (x.astype(float) * y).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, exact, rtol=1e-6)


@pytest.mark.parametrize("rule", [rules.Adam(), rules.ClipByGlobalNorm(1.0) >> rules.lamb()], ids=repr)
def test_what_is_given_stays_as_it_is(rule):
    start, *gradients = problem()
    slots = rules.init(rule, start)
    before = [x.copy() for x in arrays_of((start, slots))]
    rules.apply(rule, start, gradients[0], slots, lr=0.1, step=0)
    for a, b in zip(arrays_of((start, slots)), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rule", [rules.Adam(), rules.NovoGrad()], ids=repr)
def test_donated_arrays_are_returned_with_the_results(rule):
    start, gradient, *_ = problem()
    slots = rules.init(rule, start)
    found = rules.apply(rule, start, gradient, slots, lr=0.1, step=0, donate=True)
    assert all(a is b for a, b in zip(arrays_of(found), arrays_of((start, slots)), strict=True))


def test_an_array_that_must_not_be_written_is_left_alone():
    start, gradient, *_ = problem()
    start[4].flags.writeable = start[0].flags.writeable = False
    before = copies(start)
    found, _ = rules.apply(rules.SGD(), start, gradient, rules.init(rules.SGD(), start), lr=0.1, step=0, donate=True)
    for i in (0, 4):
        np.testing.assert_array_equal(start[i], before[i])
        np.testing.assert_array_equal(found[i], before[i] - np.float32(0.1) * gradient[i])


@pytest.mark.parametrize("rule", [*ELEMENTWISE, *SUMMING], ids=repr)
def test_gradients_may_be_the_parameters_that_are_written(rule, whole):
    start, *_ = problem(dtype=np.float64)
    slots = rules.init(rule, start)
    expected = whole(rule, start, start, slots, lr=0.1, step=0)
    params = copies(start)
    assert_same(
        rules.apply(rule, params, params, rules.init(rule, start), lr=0.1, step=0, donate=True), expected, 1e-12
    )


def test_the_memory_of_small_results_is_no_more_than_a_block():
    sizes = replace(_memory.NUMPY, pack=2**18, small=2**13)
    shapes = [(5,)] * 100_000
    column = [np.zeros(5, np.float32)] * len(shapes)
    lists = _slots.Lists(rules.SGD(), shapes, column, [column])
    library = replace(_memory._NUMPY, sizes=lambda: sizes)
    context = rules.Context.of_list(rules.ops_of(np.ones(1)), [1] * len(shapes), 0.1, 0)
    bundles = _blocks._bundles(lists, context)
    found = [pack for _, those in bundles for pack in _blocks._packs(lists, library, those)]
    assert sorted(i for those in found for i in those) == list(range(len(shapes)))
    assert max(map(len, found)) * 5 <= 2**17


@pytest.fixture
def gathered(monkeypatch):
    """Return a list with the number of small tensors of each column that is gathered."""
    counts: list[int] = []

    def gather(arrays, memory):
        counts.append(len(arrays))
        return _memory._gather(arrays, memory)

    monkeypatch.setattr(_memory, "_NUMPY", replace(_memory._NUMPY, gather=gather))
    return counts


@pytest.mark.parametrize(("donate", "columns"), [(False, 1), (True, 2)])
def test_what_the_library_made_is_not_gathered(donate, columns, gathered, whole):
    start, *gradients = problem([(4, 3)] * 6)
    params, slots = trained(rules.apply, rules.Adam(), start, gradients[:1])
    if donate:
        params, slots = copies(params), rules.init(rules.Adam(), params)
    expected = whole(rules.Adam(), params, gradients[1], slots, lr=0.1, step=1)
    gathered.clear()
    assert_same(rules.apply(rules.Adam(), params, gradients[1], slots, lr=0.1, step=1, donate=donate), expected)
    # Four columns, in stacks of as many tensors as fit; only the gradients and the own parameters of the caller.
    assert sum(gathered) == columns * 6


def changed(how, arrays):
    """Return arrays that are almost the parts of one memory."""
    if how == "order":
        return [arrays[1], arrays[0], *arrays[2:]]
    if how == "twice":
        return [arrays[0], arrays[0], *arrays[2:]]
    if how == "other":
        return [arrays[0].copy(), *arrays[1:]]
    if how == "view":
        return [x[::-1] for x in arrays]
    if how in ("first", "last"):
        return arrays[:-1] if how == "first" else arrays[1:]
    arrays[0].flags.writeable = False
    return arrays


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("how", ["order", "twice", "other", "view", "first", "last", "read-only"])
def test_almost_the_arrays_that_the_library_made(how, donate, whole):
    start, *gradients = problem([(5,)] * 3)
    params, slots = trained(rules.apply, rules.SGD(), start, gradients[:1])
    given = changed(how, params)
    donate = donate and how != "twice"  # what is donated must not overlap
    before, n = copies(given), len(given)
    expected = whole(rules.SGD(), copies(given), gradients[1][:n], slots[:n], lr=0.1, step=1)
    assert_same(rules.apply(rules.SGD(), given, gradients[1][:n], slots[:n], lr=0.1, step=1, donate=donate), expected)
    for a, b in zip(given, before, strict=True):
        if not donate or not a.flags.writeable:
            np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_strides_that_were_changed_are_seen(whole):
    start, *gradients = problem([(3, 3)] * 4)
    params, slots = trained(rules.apply, rules.SGD(), start, gradients[:1])
    params[1].strides = params[1].strides[::-1]
    expected = whole(rules.SGD(), copies(params), gradients[1], slots, lr=0.1, step=1)
    assert_same(rules.apply(rules.SGD(), params, gradients[1], slots, lr=0.1, step=1), expected)


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_slots_of_another_dtype_become_those_of_the_parameter(dtype, donate, whole):
    start, *gradients = problem(dtype=dtype)
    rule = rules.Adam()
    slots = [rules.map_arrays(lambda x: x.astype(np.float64), own) for own in rules.init(rule, start)]
    expected = whole(rule, start, gradients[0], slots, lr=0.1, step=0)
    assert {x.dtype for own in expected[1] for x in own if x is not None} == {np.dtype(np.float32)}
    assert_same(rules.apply(rule, copies(start), gradients[0], slots, lr=0.1, step=0, donate=donate), expected)


@pytest.mark.parametrize("donate", [False, True])
def test_one_list_after_another_of_other_shapes_and_dtypes(donate, whole):
    rule = rules.Adam()
    for shapes, dtype in (
        (SHAPES, np.float32),
        (SHAPES, np.float64),
        (SHAPES[::-1], np.float32),
        ([(5,)] * 30, "f2"),
        ([(5,)] * 30, "f4"),
        ([()] * 70, "f8"),
    ):
        start, *gradients = problem(shapes, dtype)
        found = trained(rules.apply, rule, copies(start), gradients, donate=donate)
        assert_same(found, trained(whole, rule, start, gradients))


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("rule", [rules.Adam(), rules.lars()], ids=repr)
def test_arrays_may_lie_in_memory_in_any_order(rule, donate, whole):
    start, *gradients = problem([(30, 20), (3, 4), (3, 4)], np.float64)
    strided = [np.asfortranarray(start[0]), start[1][:, ::-1], np.asfortranarray(start[2])]
    expected = trained(whole, rule, copies(strided), gradients)
    assert_same(trained(rules.apply, rule, strided, gradients, donate=donate), expected, rtol=1e-12)


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("rule", [rules.Adam(), rules.ClipByGlobalNorm(1.0) >> rules.Momentum()], ids=repr)
def test_dtypes_may_differ(rule, donate, whole):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    shapes = [(100,), (5,), (5,), (100,), (5,), (5,)]
    kinds = [np.float16, np.float64, np.float32, ml_dtypes.bfloat16, np.float16, np.float16]
    start, *gradients = ([x.astype(kind) for x, kind in zip(xs, kinds, strict=True)] for xs in problem(shapes))
    found = trained(rules.apply, rule, copies(start), gradients, donate=donate)
    assert_same(found, trained(whole, rule, start, gradients), rtol=1e-12)


@pytest.mark.parametrize("rule", [rules.NAdam(), rules.ClipByGlobalNorm(1.0) >> rules.lamb()], ids=repr)
def test_tensors_may_differ_in_rate_and_step_or_have_no_gradient(rule, whole):
    start, *gradients = problem(dtype=np.float64)
    for g in gradients:
        g[2] = g[4] = None
    options = {"lr": [0.1 * (1 + i % 3) for i in range(len(start))], "step": [i % 2 for i in range(len(start))]}
    found = trained(rules.apply, rule, start, gradients, **options)
    assert_same(found, trained(whole, rule, start, gradients, **options), rtol=1e-12)


def test_one_delta_of_a_large_array_is_that_of_the_whole(monkeypatch):
    rule, (p, g, *_) = rules.lamb(), problem([(30, 20)], np.float64)
    found = rule.delta(p[0], g[0], rule.init(p[0]), lr=0.1, step=0)
    monkeypatch.setattr(_blocks, "library_for", lambda xp, donate: None)
    expected = rule.delta(p[0], g[0], rule.init(p[0]), lr=0.1, step=0)
    assert_same(([found[0]], [found[1]]), ([expected[0]], [expected[1]]), rtol=1e-12)


@pytest.mark.parametrize("wrong", [None, 3, {}, np.ones(5), (), Exception, (None, None, None)], ids=repr)
@pytest.mark.parametrize("others", [0, 1])
def test_wrong_slots_are_refused_by_name(wrong, others):
    rule, params = rules.Adam(), [np.ones(5)] * (1 + others)
    slots = [*rules.init(rule, params[:others]), wrong]
    if isinstance(wrong, tuple) and wrong:
        slots[-1] = type(rule.init(params[0]))(*wrong)
    with pytest.raises(TypeError, match=rf"apply\(slots\)\[{others}\](\.m)? must be"):
        rules.apply(rule, params, params, slots, lr=0.1, step=0)


class Pair(NamedTuple):
    """Two arrays."""

    a: Any
    b: Any


class Swap(rules.Local):
    """Hands arrays on as they came: the slots in turn, and the parameter."""

    def slots(self, full):
        return Pair(full(1.0), Pair(full(2.0), None))

    def kernel(self, context):
        return lambda p, g, s: (context.lr * s.a, Pair(s.b.a, Pair(p, None)))


class Late(rules.Local):
    """Reads the old slot after the new one is known."""

    def slots(self, full):
        return Pair(full(1.0), None)

    def kernel(self, context):
        def update(p, g, s):
            a = 0.5 * s.a + g
            return context.lr * (a * a + s.a), Pair(a, None)

        return update


class LateSum(rules.Rule):
    """Reads the old slot, or the new one, after a sum of the new one is known."""

    old: bool

    def slots(self, full):
        return Pair(full(1.0), None)

    def body(self, context, ps, gs, slots):
        news = [0.5 * s.a + g for g, s in zip(gs, slots, strict=True)]
        found = [((a * a + 1.0) * g + 2.0) / (a * a + 3.0) for a, g in zip(news, gs, strict=True)]
        sums = context.sums([y * y for y in found], range(len(ps)))
        late = [s.a if self.old else a for a, s in zip(news, slots, strict=True)]
        return [context.lr * (y / n + a) for y, n, a in zip(found, sums, late, strict=True)], [
            Pair(a, None) for a in news
        ]


class Common(rules.Local):
    """Moves by the sum of all functions that the libraries have in common."""

    def slots(self, full):
        return ()

    def kernel(self, context):
        def update(p, g, s):
            two = [getattr(context.xp, name)(g, 0.5) for name in ("maximum", "minimum")]
            one = [getattr(context.xp, name)(context.xp.abs(g) + 0.1) for name in COMMON[: -len(two)]]
            return context.lr * sum([*one, *two]), s

        return update


class Branching(rules.Local):
    """Looks at values, which cannot be recorded."""

    def slots(self, full):
        return ()

    def kernel(self, context):
        return lambda p, g, s: (p if p.sum() > 0 else g, s)


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("rule", [Swap(), Branching(), Late()])
def test_rules_may_hand_on_what_they_got_or_look_at_it(rule, donate, whole):
    start, *gradients = problem()
    found = trained(rules.apply, rule, copies(start), gradients, donate=donate)
    assert_same(found, trained(whole, rule, start, gradients))


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("other", [np.float64, np.float32])
@pytest.mark.parametrize("rule", [LateSum(True), LateSum(False)])
def test_slots_may_be_read_after_the_sums_of_new_ones(rule, other, donate, whole):
    start, *gradients = problem([*SHAPES, (50, 40)], np.float64)
    start[-1] = start[-1].astype(other)  # computed in float64, and rounded only at the end
    found = trained(rules.apply, rule, copies(start), gradients[:1], donate=donate)
    expected = trained(whole, rule, start, gradients[:1])
    if other is np.float32:
        np.testing.assert_array_equal(found[0].pop(), expected[0].pop())
        np.testing.assert_array_equal(found[1].pop().a, expected[1].pop().a)
    assert_same(found, expected, rtol=1e-12)


@pytest.mark.parametrize("donate", [False, True])
def test_rules_may_use_all_functions_that_libraries_have_in_common(donate, whole, used):
    start, *gradients = problem()
    expected = trained(whole, Common(), start, gradients)
    used.clear()
    assert_same(trained(rules.apply, Common(), copies(start), gradients, donate=donate), expected, rtol=1e-6)
    assert len(used) == 3


def test_values_that_are_not_finite_pass_without_a_warning(whole):
    start, gradient, *_ = problem()
    gradient[4][0, :3] = [np.inf, -np.inf, np.nan]
    rule = rules.ClipByNorm(1.0) >> rules.Adam()
    assert_same(trained(rules.apply, rule, start, [gradient]), trained(whole, rule, start, [gradient]), rtol=1e-6)


def test_small_updates_do_without_blocks(monkeypatch, used):
    monkeypatch.setattr(_blocks, "MANY", len(SHAPES) + 1)
    start, *gradients = problem()
    trained(rules.apply, rules.Adam(), start, gradients)
    assert not used


@pytest.mark.parametrize("rule", [*ELEMENTWISE, *SUMMING, Common()], ids=repr)
def test_torch_updates_in_place_by_blocks(rule, used):
    torch = pytest.importorskip("torch")
    start, *gradients = problem(dtype=np.float64)
    expected = trained(rules.apply, rule, start, gradients)
    given = [torch.tensor(p) for p in start]
    used.clear()
    tensors = [[torch.tensor(g) for g in gs] for gs in gradients]
    params, slots = trained(rules.apply, rule, given, tensors, donate=True)
    assert len(used) == 3
    assert all(a is b for a, b in zip(params, given, strict=True))
    for a, b in zip(arrays_of((params, slots)), arrays_of(expected), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-10, atol=1e-10)


def test_torch_is_not_written_where_it_differentiates(used):
    torch = pytest.importorskip("torch")
    p = torch.ones(300, requires_grad=True)
    (moved,), _ = rules.apply(rules.SGD(), [p], [torch.ones(300)], [()], lr=0.5, step=0, donate=True)
    moved.sum().backward()
    assert p.detach().unique().tolist() == [1.0]
    assert p.grad.unique().tolist() == [1.0]


@pytest.fixture
def looped(monkeypatch):
    """Let all arrays that can be updated by themselves be so, and return a list of the numbers of arrays."""
    found: list[int] = []
    monkeypatch.setattr(_loops, "better", lambda *given: True)
    run = _loops.Looped.run

    def noted(self, update):
        found.append(sum(map(len, self.those)))
        run(self, update)

    monkeypatch.setattr(_loops.Looped, "run", noted)
    return found


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("rule", ELEMENTWISE, ids=repr)
def test_loops_over_arrays_give_the_same_bits(rule, donate, whole, looped):
    start, *gradients = problem([shape for shape in SHAPES if np.prod(shape) <= LENGTH] * 2)
    expected = trained(whole, rule, start, gradients)
    found = trained(rules.apply, rule, copies(start), gradients, donate=donate)
    assert_same(found, expected)
    # Those without a dimension lie in stacks.
    assert looped or any(x.ndim == 0 for x in arrays_of(found)[len(start) :])


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_loops_are_for_arrays_of_the_working_dtype(dtype, whole, looped):
    start, *gradients = problem([(5,), (3, 4)] * 3, dtype)
    assert_same(trained(rules.apply, rules.Adam(), start, gradients), trained(whole, rules.Adam(), start, gradients))
    assert bool(looped) == (dtype == np.float64)


def test_tensors_that_differ_in_rate_or_rank_have_loops_of_their_own(whole, looped):
    start, *gradients = problem([(5,), (3, 4), (5,), (2, 2)])
    rule, rates = rules.AdamW(min_ndim=2), [0.1, 0.1, 0.2, 0.3]
    expected = trained(whole, rule, start, gradients, lr=rates)
    assert_same(trained(rules.apply, rule, start, gradients, lr=rates), expected)
    assert looped == [1, 1, 1, 1] * 3
    looped.clear()
    trained(rules.apply, rules.Adam(), start, gradients)
    assert looped == [4] * 3


def agree(rule, pairs):
    """Return whether the numbers of a learned body are those of the rule at each rate and step."""
    p, g = (np.linspace(0.1, 1.0, 4, dtype=np.float64) for _ in range(2))
    slots = rules.init(rule, [p])
    for lr, step in pairs:
        one = rules.apply(rule, [p], [g], slots, lr=lr, step=step)
        other = rule.delta(p, g, slots[0], lr=lr, step=step)
        pairs_of = zip(arrays_of(one), [p + other[0], *arrays_of(([], [other[1]]))], strict=True)
        if not all(map(np.array_equal, *zip(*pairs_of, strict=True))):
            return False
    return True


def draws(count):
    rng = np.random.default_rng(7)
    steps = (10 ** rng.uniform(0, 6, count)).astype(int) - 1
    return list(zip((10 ** rng.uniform(-8, 2, count)).tolist(), steps.tolist(), strict=True))


@pytest.mark.parametrize("rule", ELEMENTWISE, ids=repr)
def test_numbers_that_were_learned_are_those_of_the_rule(rule, looped):
    assert agree(rule, draws(25))


@pytest.mark.slow
@pytest.mark.parametrize("rule", ELEMENTWISE, ids=repr)
def test_numbers_that_were_learned_are_those_of_the_rule_at_thousands_of_steps(rule, looped):
    assert agree(rule, draws(1000))


class LooksAtNumbers(rules.Rule):
    """Computes its rate in a way that is no formula, or no formula that arrays compute alike."""

    how: Annotated[str, Choice(("branch", "equal", "float", "kind", "table", "slots"))] = "branch"

    def slots(self, full):
        return ()

    def body(self, context, ps, gs, slots):
        lr, step = context.lr, context.step
        if self.how == "branch":
            lr = lr if step < 3 else 0.5 * lr
        elif self.how == "equal":
            lr = 2.0 * lr if step == 3 else lr
        elif self.how == "float":
            lr = float(lr) * math.exp(-step)
        elif self.how == "kind":
            lr = lr + 1.0 if isinstance(step, int) and step > 2 else lr
        elif self.how == "table":
            lr = lr * [1.0, 0.5, 0.25, 2.0, 3.0][step]
        elif self.how == "slots":
            lr = lr if step in (0, 1, 2) else 0.0
        return [lr * g for g in gs], slots


@pytest.mark.parametrize("how", ["branch", "equal", "float", "kind", "table", "slots"])
def test_rules_may_look_at_rate_and_step(how, whole, looped):
    rule, (start, g, *_) = LooksAtNumbers(how), problem([(5,)] * 3)
    assert_same(trained(rules.apply, rule, start, [g] * 5), trained(whole, rule, start, [g] * 5))


def test_what_is_learned_of_a_rule_keeps_no_array():
    start, *gradients = problem([(50,)] * 3)
    kept = [weakref.ref(x) for x in (*start, *gradients[0])]
    rule = rules.Momentum(0.8125)
    found = trained(rules.apply, rule, start, gradients[:1] * 3)
    del start, gradients, found
    gc.collect()
    assert [one() for one in kept] == [None] * 6


@pytest.mark.parametrize("rule", [rules.SGD(), rules.Momentum(0.9), rules.Momentum(0.9, nesterov=True), rules.lars()])
def test_arrays_of_a_medium_size_are_updated_one_by_one_to_the_same_bits(rule, monkeypatch, looped):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(_memory, "NUMPY", replace(SIZES, small=2**13, block=2**13))

    def updated(how):
        monkeypatch.setattr(_loops, "better", how)
        looped.clear()
        ps = [x.copy() for x in start]
        own = rules.init(rule, ps)
        for t in range(3):
            new, own = rules.apply(rule, ps, gs, own, lr=0.1, step=t, donate=True)
            assert all(map(operator.is_, new, ps))
        return [*ps, *(x for one in own for x in one)], list(looped)

    shapes = [(600,), (30, 40), (7,), (), (2, 1000)] * 20
    start, gs = ([np.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes] for _ in range(2))
    one, other = updated(lambda *given: False), updated(lambda loop, those, shape: np.prod(shape) >= 512)
    assert not one[1]
    assert other[1] == 3 * [20 if rule == rules.lars() else 60]
    assert all(map(np.array_equal, one[0], other[0]))


def test_an_array_that_cannot_be_written_is_not_updated_in_place():
    ps, gs = ([np.ones(600, np.float32) for _ in range(64)] for _ in range(2))
    ps[3].flags.writeable = False
    new, _ = rules.apply(rules.SGD(), ps, gs, [()] * 64, lr=0.5, step=0, donate=True)
    assert new[3] is not ps[3]
    assert all((x == 0.5).all() for x in new)
    assert (ps[3] == 1.0).all()
