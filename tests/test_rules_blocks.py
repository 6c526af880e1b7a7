"""Updates by blocks of small stacks and cut tensors equal those of whole tensors, new or in place."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from lrsched import rules
from lrsched.rules import _blocks, _memory

RNG = np.random.default_rng(0)
# Elements of a block here. Stacks of tensors, tensors of one block, and tensors of several with a shorter last one.
LENGTH = 64
SHAPES = [(5,), (), (40,), (5,), (9, 20), (5,), (0,), (200,), (1, 64), (13, 5), (), (5,)]

ELEMENTWISE = [
    rules.SGD(),
    rules.Momentum(0.9, dampening=0.5, first_step="clone"),
    rules.Nesterov(0.9),
    rules.AdaGrad(),
    rules.AdaDelta(),
    rules.RMSprop(centered=True, momentum=0.9, bias_correction=True),
    rules.Adam(),
    rules.Adam(eps_at="inside", amsgrad="corrected"),
    rules.AdamW(min_ndim=2),
    rules.NAdam(),
    rules.RAdam(),
    rules.Adamax(),
    rules.AdaBelief(),
    rules.Yogi(),
    rules.Adan(),
    rules.Lion(),
    rules.Rprop(),
    rules.ClipByValue(0.5) >> rules.L1(0.1, min_ndim=1) >> rules.SignSGD(),
]
SUMMING = [
    rules.lars(),
    rules.lamb(upper=1.0),
    rules.Layerwise(rules.RMSprop(), clip=True, min_ndim=0),
    rules.NovoGrad(weight_decay=0.1),
    rules.ClipByNorm(0.5) >> rules.lars(),
    rules.ClipByGlobalNorm(1.0) >> rules.Adam() >> rules.ClipByGlobalNorm(0.01),
    rules.ClipByNorm(0.5) >> rules.ClipByGlobalNorm(1.0) >> rules.lamb() >> rules.ClipByNorm(0.01),
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Let blocks be small, and used for the smallest update."""
    monkeypatch.setattr(_memory, "NUMPY_BYTES", 4 * LENGTH)
    monkeypatch.setattr(_memory, "TORCH_LENGTH", LENGTH)
    monkeypatch.setattr(_blocks, "MANY", 0)


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
    totals = _blocks.Totals
    monkeypatch.setattr(_blocks, "Totals", lambda units: made.append(units) or totals(units))
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


class Pair(NamedTuple):
    """Two arrays."""

    a: Any
    b: Any


@dataclass(frozen=True)
class Swap(rules.Local):
    """Hands arrays on as they came: the slots in turn, and the parameter."""

    def slots(self, full):
        return Pair(full(1.0), Pair(full(2.0), None))

    def kernel(self, context):
        return lambda p, g, s: (context.lr * s.a, Pair(s.b.a, Pair(p, None)))


@dataclass(frozen=True)
class Branching(rules.Local):
    """Looks at values, which cannot be recorded."""

    def slots(self, full):
        return ()

    def kernel(self, context):
        return lambda p, g, s: (p if p.sum() > 0 else g, s)


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("rule", [Swap(), Branching()])
def test_rules_may_hand_on_what_they_got_or_look_at_it(rule, donate, whole):
    start, *gradients = problem()
    found = trained(rules.apply, rule, copies(start), gradients, donate=donate)
    assert_same(found, trained(whole, rule, start, gradients))


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


@pytest.mark.parametrize("rule", [*ELEMENTWISE, *SUMMING], ids=repr)
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
