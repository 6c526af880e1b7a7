"""Closed-loop rules against what PyTorch trainers use: PyTorch, Transformers, SpeechBrain, fastai; and on tensors."""

import ast
import math
import types

import numpy as np
import pytest
from feedback_cases import RULES, coarse, finite_metrics, fold, metrics, observation
from hypothesis import given
from hypothesis import strategies as st

from lrsched import feedback as fb

torch = pytest.importorskip("torch")

from oracles import folder, sgd, stub  # noqa: E402  # it needs torch

small = st.integers(0, 3)
thresholds = st.sampled_from([0.0, 1e-4, 0.125, 0.5, 1.0])


@given(
    metrics,
    st.sampled_from(["min", "max"]),
    st.sampled_from([0.1, 0.3, 0.5]),
    small,
    thresholds,
    st.sampled_from(["rel", "abs"]),
    small,
    st.sampled_from([0.0, 1e-3, 0.05]),
    st.sampled_from([0.0, 1e-8, 0.04]),
)
def test_the_torch_dialect_is_reduce_lr_on_plateau(values, mode, factor, patience, threshold, kind, rest, low, eps):
    lr = 0.1
    optimizer = sgd(lr)
    native = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, factor, patience, threshold, kind, rest, min_lr=low, eps=eps
    )
    rule = fb.Plateau(mode, factor, patience, threshold, kind, rest, low, "torch", eps=eps, base=lr)
    state = rule.init()
    for value in values:
        native.step(value)
        state, found = rule.update(state, value)
        assert (state.scale, state.best, state.bad, state.cooldown) == (
            optimizer.param_groups[0]["lr"],
            native.best,
            native.num_bad_epochs,
            native.cooldown_counter,
        )
        assert lr * found == pytest.approx(state.scale, rel=1e-15)


@given(
    metrics,
    st.sampled_from(["min", "max"]),
    small,
    st.sampled_from([0.0, 0.125]),
    st.sampled_from(["abs", "rel"]),
    small,
    small,
    st.sampled_from([0.001, 0.05, 0.2]),
    st.integers(1, 3),
)
def test_greedy_is_the_scheduler_of_transformers(values, mode, patience, threshold, kind, rest, warm, low, reset):
    optimization = pytest.importorskip("transformers.optimization")
    lr = 0.1
    optimizer = sgd(lr)
    arguments = {"mode": mode, "factor": 0.5, "patience": patience, "threshold": threshold, "threshold_mode": kind}
    arguments |= {"cooldown": rest, "warmup": warm, "reset_start": reset}
    native = optimization.GreedyLR(optimizer, min_lr=low, max_lr=0.5, **arguments)
    rule = fb.GreedyLR(**arguments, minimum=low, maximum=0.5, base=lr)
    state = rule.init()
    for value in values:
        if math.isinf(value) and (value < 0) == (mode == "min"):
            continue  # nothing is better than this one: we do not take it for the best
        native.step(value)
        state, _ = rule.update(state, value)
        assert (state.scale, state.best, state.good, state.bad) == (
            optimizer.param_groups[0]["lr"],
            native.best,
            native.num_good_epochs,
            native.num_bad_epochs,
        )
        assert (state.cooldown, state.warmup, state.waiting) == (
            native.cooldown_counter,
            native.warmup_counter,
            native.reset_start,
        )


@given(st.lists(coarse, min_size=1, max_size=60), st.integers(2, 5), st.integers(1, 3))
def test_greedy_with_a_window_is_the_scheduler_of_transformers_that_smooths(values, window, reset):
    optimization = pytest.importorskip("transformers.optimization")
    optimizer = sgd(0.5)
    arguments = {"factor": 0.5, "patience": 1, "reset_start": reset}
    native = optimization.GreedyLR(optimizer, min_lr=0.25, max_lr=2.0, smooth=True, window_size=window, **arguments)
    rule = fb.GreedyLR(**arguments, minimum=0.25, maximum=2.0, base=0.5, window=window)
    state = rule.init()
    for value in values:
        native.step(value)
        state, _ = rule.update(state, value)
        assert (state.scale, state.best) == (optimizer.param_groups[0]["lr"], native.best)


@pytest.fixture(scope="module")
def speechbrain() -> types.ModuleType:
    """The schedulers of SpeechBrain, without the rest of it."""
    text = (folder("speechbrain") / "nnet" / "schedulers.py").read_text(encoding="utf-8")
    return functions(text, {"NewBobScheduler"}, {"checkpoints": Saver, "torch": torch})


class Saver:
    """SpeechBrain's decorators of what it saves."""

    register_checkpoint_hooks = mark_as_saver = mark_as_loader = staticmethod(lambda item: item)


def functions(text: str, names: set[str], known: dict[str, object]) -> types.ModuleType:
    """Return the classes and functions of those names in a source text, run with `known` names alone."""
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if getattr(node, "name", "") in names]
    assert {node.name for node in tree.body} == names
    module = stub("part", **known)
    exec(compile(tree, "part", "exec"), module.__dict__)
    return module


@given(
    st.lists(st.one_of(coarse, finite_metrics).map(abs), min_size=1, max_size=60),
    small,
    st.sampled_from([0.0025, 0.25, -0.5]),
)
def test_new_bob_is_the_scheduler_of_speechbrain(speechbrain, values, patience, threshold):
    native = speechbrain.NewBobScheduler(1.0, 0.3, threshold, patience)
    state = (rule := fb.NewBob(0.3, threshold, patience)).init()
    for value in values:
        _, expected = native(value)
        state, found = rule.update(state, value)
        assert (found, state.wait) == (expected, native.current_patient)


# fastai lets NumPy take logarithms of tensors, which NumPy warns of.
NUMPY = {"gradient": np.gradient, "interp": np.interp, "log10": lambda x: np.log10(np.asarray(x))}


@pytest.fixture(scope="module")
def fastai() -> types.ModuleType:
    """The four suggestions of fastai, without the rest of it."""
    text = (folder("fastai") / "callback" / "schedule.py").read_text(encoding="utf-8")
    known = {"np": types.SimpleNamespace(**NUMPY), "to_np": lambda x: x.numpy()}
    return functions(text, {"valley", "slide", "minimum", "steep"}, known)


@given(st.integers(18, 60), st.data())
def test_the_suggestions_are_those_of_fastai(fastai, n, data):
    kind = data.draw(st.sampled_from([coarse, st.floats(0.0, 10.0, width=32)]))
    losses = torch.tensor(data.draw(st.lists(kind, min_size=n, max_size=n)), dtype=torch.float64)
    if data.draw(st.booleans()):
        losses = losses.sort(descending=True).values
    lrs = torch.tensor(np.geomspace(1e-7, 10.0, n))
    suggested = fb.lr_range_test(lrs.numpy(), losses.numpy(), skip_start=0, skip_end=0)
    native = fb.Suggestions(
        *(f(lrs, losses, n)[0] for f in (fastai.minimum, fastai.steep, fastai.valley, fastai.slide))
    )
    assert suggested == native


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: repr(rule)[:50])
@given(st.lists(st.one_of(coarse, st.just(math.nan)), min_size=1, max_size=20))
def test_float64_tensors_give_the_states_of_python(rule, values):
    observations = [observation(rule, x) for x in values]
    states, factors = fold(rule, observations)
    tensors = [
        fb.Observation(*(None if x is None else torch.tensor(x, dtype=torch.float64) for x in each))
        for each in observations
    ]
    found, rates = fold(rule, tensors)
    for state, expected in zip(found, states, strict=True):
        assert_same_numbers(fb.state_to_json(state), fb.state_to_json(expected))
    np.testing.assert_allclose([float(x) for x in rates], factors, rtol=1e-12)


def assert_same_numbers(found, expected):
    """Compare two saved states: integers, bools and text exactly, floats to a relative 1e-12."""
    assert found.keys() == expected.keys()
    for name, content in expected.items():
        exact = isinstance(content, bool | str) or type(content) is int
        assert found[name] == (content if exact else pytest.approx(content, rel=1e-12, abs=1e-15)), name
        assert type(found[name]) is type(content), name


def test_a_tensor_with_a_graph_leaves_no_graph_in_the_state():
    loss = (torch.ones(3, requires_grad=True) * 2.0).sum()
    state, factor = fb.Plateau().update(fb.Plateau().init(), loss)
    assert not any(getattr(x, "requires_grad", False) for x in (*state, factor))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_lower_precision_and_integers_are_float32(dtype):
    state, factor = fb.Plateau().update(fb.Plateau().init(), torch.tensor(1, dtype=dtype))
    assert (state.best.dtype, factor.dtype, state.bad.dtype) == (torch.float32, torch.float32, torch.int64)


@pytest.mark.parametrize("wrong", [torch.ones(2), torch.tensor(True), torch.tensor(1j)])
def test_a_tensor_that_is_no_real_number_is_refused(wrong):
    with pytest.raises(TypeError, match=r"Plateau\.update\(observation\) must be a real number"):
        fb.Plateau().update(fb.Plateau().init(), wrong)


def test_a_state_of_tensors_takes_a_python_number_and_is_saved():
    rule = fb.Plateau(patience=0, factor=0.5)
    state, _ = rule.update(rule.init(), torch.tensor(1.0))
    state, factor = rule.update(state, 2.0)
    assert float(factor) == 0.5
    assert fb.state_from_json(rule, fb.state_to_json(state)).scale == 0.5


@pytest.mark.parametrize("rule", [fb.Plateau(patience=0), fb.GreedyLR(patience=0, window=2), fb.DoG()], ids=repr)
def test_an_update_is_one_graph_that_is_traced_once(rule):
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    def step(state, each):
        return rule.update(state, each)

    compiled = torch.compile(step, backend=backend, fullgraph=True)
    tensors = [
        fb.Observation(*(None if x is None else torch.tensor(x) for x in observation(rule, value)))
        for value in (1.0, 2.0, 0.5, math.nan, 0.25)
    ]
    state, _ = rule.update(rule.init(), tensors[0])
    expected = state
    for each in tensors[1:]:
        state, factor = compiled(state, each)
        expected, plain = rule.update(expected, each)
        assert_same_numbers(fb.state_to_json(state), fb.state_to_json(expected))
        assert float(factor) == pytest.approx(float(plain))
    assert len(graphs) == 1
