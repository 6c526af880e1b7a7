"""Each rule against the optimizers of PyTorch and Optax over 200 updates, and against itself in other dtypes."""

from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from rule_cases import KERAS, OPTAX, STEPS, TORCH, Case, assert_close, gradients, left_out, rates, start, trained

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
torch = pytest.importorskip("torch")

from lrsched import rules  # noqa: E402

# Each rule of the table once.
RULES = list({repr(case.rule()): case for case in (*TORCH, *OPTAX, *KERAS)}.values())


@cache
def exact(case: Case) -> list[np.ndarray]:
    ps = trained(case)
    assert max(np.abs(p - q).max() for p, q in zip(ps, start(case), strict=True)) > 0.05  # or there is nothing to see
    return ps


def torch_run(case: Case, dtype: Any) -> list[np.ndarray]:
    # In the default dtype NAdam keeps the product of its momenta.
    torch.set_default_dtype(dtype)
    try:
        ps = [torch.nn.Parameter(torch.from_numpy(p).to(dtype)) for p in start(case)]
        gs = [torch.from_numpy(g).to(dtype) for g in gradients(case)]
        lrs = rates(case).tolist()
        optimizer = case.native(torch.optim)(ps, lr=lrs[0], **case.arguments)
        for t in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = lrs[t]
            for p, g in zip(ps, gs, strict=True):
                p.grad = g[t]
            optimizer.step()
    finally:
        torch.set_default_dtype(torch.float32)
    return [p.detach().numpy() for p in ps]


@pytest.mark.parametrize("case", TORCH, ids=repr)
def test_a_rule_agrees_with_torch_in_float64(case: Case):
    assert_close(exact(case), torch_run(case, torch.float64), case.float64)


@pytest.mark.parametrize("case", TORCH, ids=repr)
def test_a_rule_agrees_with_torch_in_float32(case: Case):
    assert_close(trained(case, np.float32), torch_run(case, torch.float32), case.float32)


# The compiler shall save time: what it makes of many rules runs once, on small arrays.
@partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})
def optax_steps(optimizer: Any, ps: Any, gs: Any) -> Any:
    def step(carry: Any, gs: Any) -> Any:
        ps, state = carry
        updates, state = optimizer.update(gs, state, ps)
        return (optax.apply_updates(ps, updates), state), None

    return jax.lax.scan(step, (ps, optimizer.init(ps)), gs)[0][0]


def optax_run(case: Case, dtype: Any) -> list[np.ndarray]:
    lrs = jax.numpy.asarray(rates(case), dtype)
    optimizer = case.native(optax)(lambda count: lrs[count], **case.arguments)
    ps = [jax.numpy.asarray(p) for p in start(case, dtype)]
    return [np.asarray(p) for p in optax_steps(optimizer, ps, gradients(case, dtype))]


@pytest.mark.parametrize("case", OPTAX, ids=repr)
def test_a_rule_agrees_with_optax_in_float64(case: Case):
    with jax.enable_x64(True):
        assert_close(exact(case), optax_run(case, np.float64), case.float64)


@pytest.mark.slow  # in every run float64 agrees with Optax, and float32 follows float64
@pytest.mark.parametrize("case", {case.name: case for case in OPTAX}.values(), ids=repr)
def test_a_rule_agrees_with_optax_in_float32(case: Case):
    assert_close(trained(case, np.float32), optax_run(case, np.float32), case.float32)


def test_the_table_leaves_no_optimizer_out():
    assert not left_out("torch", torch.optim, "lr", TORCH)
    assert not left_out("optax", optax, "learning_rate", OPTAX)


def test_what_the_table_leaves_out_is_found():
    assert left_out("torch", torch.optim, "lr", TORCH[1:]) == set()  # SGD is there more than once
    assert left_out("torch", torch.optim, "lr", TORCH[4:]) == {"SGD"}
    assert left_out("optax", optax, "learning_rate", OPTAX[2:]) == {"sgd"}


# Other dtypes


@pytest.mark.parametrize("case", RULES, ids=repr)
def test_float32_follows_float64(case: Case):
    found = trained(case, np.float32)
    assert all(p.dtype == np.float32 for p in found)
    assert_close(found, exact(case), case.ulps * 2.0**-23)


@pytest.mark.parametrize("case", RULES, ids=repr)
def test_bfloat16_follows_float64(case: Case):
    # Parameters and gradients are numbers of bfloat16. Parameters are rounded after each update, by half a unit in the
    # last place, moments are not.
    rule, steps = case.rule(), 30
    low = [torch.from_numpy(p).bfloat16() for p in start(case)]
    gs = [torch.from_numpy(g).bfloat16() for g in gradients(case)]
    high = [p.double() for p in low]
    first, slots, other = list(high), rules.init(rule, low), rules.init(rule, high)
    for t in range(steps):
        lr = float(rates(case)[t])
        low, slots = rules.apply(rule, low, [g[t] for g in gs], slots, lr=lr, step=t)
        high, other = rules.apply(rule, high, [g[t].double() for g in gs], other, lr=lr, step=t)
    assert all(p.dtype == torch.bfloat16 for p in low)
    moved = max(float((p - q).abs().max()) for p, q in zip(high, first, strict=True))
    scale = max(1.0, *(float(p.abs().max()) for p in high))
    error = max(float((p.double() - q).abs().max()) for p, q in zip(low, high, strict=True))
    assert error <= min(steps * 2.0**-8 * scale, 0.75 * moved)


# What is not finite

LIBRARIES = {"numpy": np.asarray, "torch": torch.tensor, "jax": jax.numpy.asarray}


def leaf(rule: rules.Rule) -> rules.Rule:
    """Return the rule without the parts around it."""
    if isinstance(rule, rules.Pipeline):
        return next(link for link in rule.links if isinstance(link, rules.Rule))
    return rule


# All on NumPy, one of a kind on the others.
KINDS = {type(leaf(case.rule())): case for case in RULES}.values()
PLACES = [
    pytest.param(case, library, id=f"{library}-{case!r}")
    for library, cases in (("numpy", RULES), ("torch", KINDS), ("jax", KINDS))
    for case in cases
]


def poisoned(case: Case, library: str, bad: float, steps: int = 5) -> list[np.ndarray]:
    """Return the first parameters after some updates, the second of which has one bad element in the last of them."""
    rule, convert = case.rule(), LIBRARIES[library]
    ps = [convert(p + 1) for p in start(case, np.float32)[:3]]
    slots = rules.init(rule, ps)
    for t in range(steps):
        gs = [np.array(g[t]) for g in gradients(case)[:3]]
        if t == 1:
            gs[0][...] = 1.0
            gs[2][1, 1] = bad
        ps, slots = rules.apply(rule, ps, [convert(g) for g in gs], slots, lr=0.125, step=t)
    return [np.asarray(p).copy() for p in ps]


# Where one bad element reaches: its whole tensor, or all of them.
BY_TENSOR = rules.NovoGrad | rules.Layerwise | rules.Adafactor | rules.Split | rules.DecayBefore


def assert_elsewhere_equal(found: list[np.ndarray], clean: list[np.ndarray], *, spread: bool) -> None:
    """Compare all but the bad element, or all but its tensor if the rule looks at norms."""
    for i, (p, q) in enumerate(zip(found, clean, strict=True)):
        if i == 2:
            p[... if spread else (1, 1)] = q[... if spread else (1, 1)] = 0.0
        np.testing.assert_array_equal(p, q)


@pytest.mark.filterwarnings("error:::lrsched")
@pytest.mark.parametrize(("case", "library"), PLACES)
def test_nan_stays_where_it_is_and_is_not_hidden(case: Case, library: str):
    assert np.isnan(poisoned(case, library, np.nan, steps=2)[2][1, 1])
    found, clean = poisoned(case, library, np.nan), poisoned(case, library, 1.0)
    assert np.isnan(found[2][1, 1])
    if case.rule().couples:
        return
    assert_elsewhere_equal(found, clean, spread=isinstance(leaf(case.rule()), BY_TENSOR))


@pytest.mark.filterwarnings("error:::lrsched")
@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize(("case", "library"), [place for place in PLACES if "jax" not in str(place.id)])
def test_inf_stays_where_it_is_and_is_not_hidden(case: Case, library: str, bad: float):
    rule = leaf(case.rule())
    found, clean = poisoned(case, library, bad), poisoned(case, library, np.copysign(1.0, bad))
    if isinstance(rule, rules.SignSGD | rules.Rprop):  # the sign of inf is that of 1
        assert_elsewhere_equal(found, clean, spread=False)
    elif not rule.couples:
        assert not np.isfinite(found[2][1, 1])
        assert_elsewhere_equal(found, clean, spread=isinstance(rule, BY_TENSOR))
