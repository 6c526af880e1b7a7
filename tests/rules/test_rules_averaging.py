"""Schedule-Free where the rate moves, Prodigy, and what rules around others hand them, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from rule_samples import SAMPLES

from lrsched import rules


@pytest.mark.parametrize(
    ("rates", "power", "average"),
    [
        # Steps of 1 and 0.5: z is -1, then -1.5. The largest rate is 1 both times, so c is 1/2.
        ((1.0, 0.5), 2.0, -1.25),
        # Steps of 0.5 and 1: z is -0.5, then -1.5. Equal weights: c is 1/2.
        ((0.5, 1.0), 0.0, -1.0),
        # Weights 1/4 and 1: c is 4/5.
        ((0.5, 1.0), 2.0, -1.3),
    ],
)
def test_schedule_free_weighs_by_the_largest_rate_so_far(rates: tuple[float, ...], power: float, average: float):
    rule, p = rules.ScheduleFree(rules.SGD(), b1=0.5, power=power), np.zeros(1)
    slots = rule.init(p)
    for t, lr in enumerate(rates):
        delta, slots = rule.delta(p, np.ones(1), slots, lr=lr, step=t)
        p = p + delta
    assert rule.average(p, slots)[0] == pytest.approx(average, rel=1e-14)
    # y lies half way between z and x.
    assert p[0] == pytest.approx((-1.5 + average) / 2, rel=1e-14)


@pytest.mark.parametrize(("bias_correction", "step"), [(True, -0.1), (False, -0.2)])
def test_prodigy_steps_by_its_first_estimate(bias_correction: bool, step: float):
    # m = 0.5 * d * g and sqrt(v) = 0.25 * d * g, so m / sqrt(v) is 2; the correction is 0.25 / 0.5.
    rule = rules.Prodigy(0.5, 0.9375, eps=1e-300, d0=0.1, bias_correction=bias_correction)
    p = np.array([4.0])
    assert rule.delta(p, p, rule.init(p), lr=1.0, step=0)[0][0] == pytest.approx(step, rel=1e-14)


def test_a_split_gives_each_tensor_its_rule_and_rate():
    rule = rules.Split(
        rules.ClipByGlobalNorm(1.0) >> rules.SGD(), rules.ClipByNorm(1.0) >> rules.SGD(), others_rate=0.5
    )
    gs = [np.array([3.0, 4.0]), np.array([[6.0, 8.0]]), np.array([0.0, 0.5])]
    ps = [0 * g for g in gs]
    found, _ = rules.apply(rule, ps, gs, rules.init(rule, ps), lr=[2.0, 1.0, 4.0], step=[0, 1, 2])
    # The norm of the only matrix is 10. The vectors are clipped each for itself, at half of the rates 2 and 4.
    for p, expected in zip(found, ([-0.6, -0.8], [[-0.6, -0.8]], [0.0, -1.0]), strict=True):
        np.testing.assert_allclose(p, expected, rtol=1e-14)


def test_a_decay_before_takes_its_share_of_rate_and_strength():
    rule = rules.DecayBefore(rules.L2(1.0) >> rules.SGD(), 0.4)
    ps = [np.ones(1), np.ones(1)]
    found, _ = rules.apply(rule, ps, [0 * p for p in ps], rules.init(rule, ps), lr=[0.5, 0.25], step=0)
    # q is 0.8 and 0.9, and SGD takes 0.5 and 0.25 of it.
    np.testing.assert_allclose(np.concatenate(found), [0.4, 0.675], rtol=1e-14)


def test_a_context_among_some_tensors_speaks_of_these():
    asked: list[list[int]] = []

    def sums(arrays: list[np.ndarray], owners: list[int]) -> list[np.ndarray]:
        asked.append(list(owners))
        return list(arrays)

    ops = rules.ops_of(np.ones(1))
    assert ops is not None
    each = rules.Context.of_list(ops, [0, 1, 2], [0.1, 0.2, 0.3], [5, 6, 7])
    context = replace(each, sums=sums, total=lambda arrays: np.array([float(x) for x in arrays]))
    part = context.among([2, 0])
    assert part.ndims == (2, 0)
    assert [(part.at(i).lr, part.at(i).step) for i in range(2)] == [(0.3, 7), (0.1, 5)]
    part.sums([np.ones(1)] * 3, [0, 1, 0])
    assert asked == [[2, 0, 2]]
    assert part.total([np.array(4.0), np.array(3.0)]).tolist() == [3.0, 0.0, 4.0]
    assert [one.lr for one in part.scaled(2.0).each] == [0.6, 0.2]
    assert [one.step for one in part.later().each] == [8, 6]
    alike = rules.Context.of_list(ops, [0, 1, 0], [0.1, 0.1, 0.1], [0, 3, 0])
    assert [alike.at(i).step for i in range(3)] == [0, 3, 0]
    assert alike.at(0) is alike.at(2)


AVERAGING = [
    rules.ScheduleFree(rules.SGD()),
    rules.ScheduleFree(rules.Adam(0.0) >> rules.DecoupledWeightDecay(0.1, times_lr=False)),
    rules.DecayBefore(rules.ScheduleFree(rules.RMSprop(), power=0.0), 0.1),
    rules.DecayBefore(rules.ScheduleFree(rules.OwnRate(rules.Adam(0.0), 3, 0.5), power=0.0), 0.1, late=True),
    rules.OwnRate(rules.ClipByGlobalNorm(1.0) >> rules.AdaGrad(), decay=0.5),
    rules.ClipByNorm(1.0) >> rules.Split(rules.Prodigy(), rules.ScheduleFree(rules.SGD())),
    rules.Prodigy(),
]


def moves(rule: rules.Rule, missed: int, own_steps: bool) -> list[np.ndarray]:
    """Return how far a parameter is after each of five updates, if another one had some updates before."""
    start = np.array([[2.0, -1.0], [0.25, 4.0]])
    params, found = [np.array([[1.0, -2.0]]), start], []
    slots = rules.init(rule, params)
    for t in range(missed + 5):
        own = t - missed
        grads = [np.cos(params[0] + t), np.cos(params[1] + own) if own >= 0 else None]
        lr = [0.0 if t < 2 else 0.01, 0.0 if own < 2 else 0.01]  # a warm-up
        step = [t, max(own, 0)] if own_steps else t
        params, slots = rules.apply(rule, params, grads, slots, lr=lr, step=step)
        found.append(params[1] - start)
    return found[missed:]


@pytest.mark.parametrize("rule", [*(sample.rule for sample in SAMPLES), *AVERAGING], ids=repr)
def test_a_parameter_that_joins_late_acts_as_in_a_fresh_optimizer(rule: rules.Rule):
    if not rule.couples:
        np.testing.assert_array_equal(moves(rule, 3, True), moves(rule, 0, True))
    # At the step of the others the corrections of its averages are those of the others, and nothing else is.
    late, fresh = np.abs(moves(rule, 200, False)[-1]), np.abs(moves(rule, 0, False)[-1])
    assert np.all(late <= 20.0 * fresh + 1e-15)


def test_schedule_free_and_its_average_begin_with_the_first_gradient_of_each_parameter():
    rule = rules.ScheduleFree(rules.SGD(), b1=0.5)
    params = {"w": np.array([1.0]), "b": np.array([5.0])}
    slots = rules.init(rule, params)
    for step in range(2):
        assert rules.averages(rule, params, slots)["b"] == [5.0]
        params, slots = rules.apply(rule, params, {"w": np.ones(1), "b": None}, slots, lr=0.5, step=step)
    params, slots = rules.apply(rule, params, {"w": None, "b": np.ones(1)}, slots, lr=0.5, step=2)
    # z = x = y = 5 - 0.5
    assert params["b"] == slots["b"].z == rules.averages(rule, params, slots)["b"] == [4.5]


def test_prodigy_measures_from_where_each_parameter_was_at_its_first_gradient():
    def moved(start: float) -> np.ndarray:
        params = [np.ones(2), np.full(2, start)]
        slots = rules.init(rules.Prodigy(), params)
        for t in range(60):
            grads = [params[0], None if t < 2 else params[1] - start + 1.0]
            params, slots = rules.apply(rules.Prodigy(), params, grads, slots, lr=1.0, step=t)
        return params[1] - start

    np.testing.assert_allclose(moved(-100.0), moved(0.0), rtol=1e-6)
