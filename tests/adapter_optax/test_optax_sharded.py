"""`from_rule` on sharded arrays: under `jax.jit`, where arrays are whole, and in `jax.shard_map`, where they are not.

One process with eight devices does all the work once; the tests read what it reports.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# In every run `test_optax_tools.py` trains sharded parameters.
pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "jax_sharded_lars.py"

PROGRAM = r"""
import json, re
import jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from lrsched import Cosine, rules
from lrsched_optax import from_rule, scale_by_rule

S = Cosine(0.05, 0.0, steps=8)
RULES = {
    "Adam": rules.Adam(),
    "LARS": rules.lars(trust_coefficient=0.1, weight_decay=0.1),
    "LAMB": rules.lamb(weight_decay=0.1),
    "clip each": rules.ClipByNorm(0.01) >> rules.Adam(),
    "clip all": rules.ClipByGlobalNorm(0.01) >> rules.lars(trust_coefficient=0.1),
    "Adafactor": rules.Adafactor(),
}
SPECS = {"a": P("x", "y"), "b": P(None, "x"), "c": P(), "d": P(("y", "x"))}
mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
explicit = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Explicit,) * 2)
rng = np.random.default_rng(0)
params = {k: rng.normal(size=shape).astype(np.float32) for k, shape in zip("abcd", ((8, 6), (3, 4), (5,), (8, 2)))}
found = {}


def put(tree, mesh, specs=SPECS):
    return {k: jax.device_put(v, NamedSharding(mesh, specs[k])) for k, v in tree.items()}


def gradients(params):
    return jax.tree.map(lambda p: jnp.sin(3 * p) + 0.1, params)


def trained(optimizer, params, update=None):
    update = jax.jit(update or optimizer.update)
    state = optimizer.init(params)
    for _ in range(4):
        updates, state = update(jax.jit(gradients)(params), state, params)
        params = optax.apply_updates(params, updates)
    text = update.lower(gradients(params), state, params).compile().as_text()
    return params, {op: len(re.findall(rf"= [^=]*\b{op}(?:-start)?\(", text)) for op in OPS}


OPS = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def apart(ours, theirs):
    return float(max(np.abs(np.asarray(ours[k]) - theirs[k]).max() for k in params))


def mapped(optimizer, specs=SPECS, **options):
    state = jax.eval_shape(optimizer.init, params)
    slots = len(jax.tree.leaves(state.slots)) // len(params)
    state_specs = jax.tree.unflatten(jax.tree.structure(state), [P(), *[specs[k] for k in params] * slots])
    places = dict(mesh=mesh, in_specs=(specs, state_specs, specs), out_specs=(specs, state_specs))
    return jax.shard_map(optimizer.update, **{**places, **options})


def message(action):
    try:
        action()
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


alone = {name: trained(from_rule(rule, S), params)[0] for name, rule in RULES.items()}
alone = {name: jax.tree.map(np.asarray, tree) for name, tree in alone.items()}
for name, rule in RULES.items():
    for kind, where in (("jit", mesh), ("explicit", explicit)):
        if kind == "explicit" and name != "clip all":
            continue
        with jax.set_mesh(where):
            result, ops = trained(from_rule(rule, S), put(params, where))
        found[f"{kind} {name}"] = {"apart": apart(result, alone[name]), **ops}
        kept = all(result[k].sharding.is_equivalent_to(NamedSharding(where, SPECS[k]), result[k].ndim) for k in params)
        found[f"{kind} {name}"]["kept"] = kept

for name in ("Adam", "LAMB", "clip all"):
    for kind, axes, check in (("specs", SPECS, True), ("unchecked", SPECS, False), ("names", ("y", "x"), True)):
        if kind != "specs" and name != "clip all":
            continue
        optimizer = from_rule(RULES[name], S, axis_name=axes)
        result, ops = trained(optimizer, put(params, mesh), mapped(optimizer, check_vma=check))
        found[f"{kind} {name}"] = {"apart": apart(result, alone[name]), **ops}

along_x = {"a": P("x"), "b": P(None, "x"), "c": P(), "d": P("x")}
optimizer = from_rule(RULES["clip all"], S, axis_name="x")
result, ops = trained(optimizer, put(params, mesh, along_x), mapped(optimizer, along_x, axis_names={"x"}))
found["half manual"] = {"apart": apart(result, alone["clip all"]), **ops}

optimizer = from_rule(RULES["LARS"], S, axis_name=())
result, _ = trained(optimizer, put(params, mesh), mapped(optimizer))
found["own norms"] = apart(result, alone["LARS"])

for name in ("LARS", "Adafactor"):
    optimizer = from_rule(RULES[name], S)
    everywhere = jax.shard_map(optimizer.update, mesh=mesh, in_specs=(P(), P(), P()), out_specs=(P(), P()))
    found[f"copies {name}"] = apart(trained(optimizer, params, everywhere)[0], alone[name])


def one_step(optimizer, **options):
    sharded = put(params, mesh)
    return message(lambda: jax.jit(mapped(optimizer, **options))(sharded, optimizer.init(sharded), sharded))


found["no axes"] = one_step(from_rule(RULES["LARS"], S))
found["no axes, unchecked"] = one_step(from_rule(RULES["LARS"], S), check_vma=False)
found["names, unchecked"] = one_step(from_rule(RULES["LARS"], S, axis_name=("x", "y")), check_vma=False)
found["no axes, no norms"] = one_step(from_rule(RULES["Adam"], S))
found["chain"] = one_step(scale_by_rule(rules.Layerwise(rules.Adam())))


def split(optimizer):
    def update(p):
        return optimizer.update(p, optimizer.init(p), p)[0]

    return jax.jit(jax.shard_map(update, mesh=mesh, in_specs=P("x"), out_specs=P("x")))


found["matrix rule"] = message(lambda: split(from_rule(RULES["Adafactor"], S, axis_name=("x", "y")))(params["a"]))
found["matrix rule, no axes"] = message(lambda: split(from_rule(RULES["Adafactor"], S))(params["a"]))


def replica(p):
    optimizer = from_rule(RULES["LARS"], S)
    return optimizer.update(p, optimizer.init(p), p)[0]


found["pmap"] = message(lambda: jax.pmap(replica)(np.ones((8, 2, 2), np.float32)))


def grown(p, x):
    # A data-parallel step that forgets to sum: the gradient differs from device to device, the parameter does not.
    optimizer = from_rule(RULES["LARS"], S)
    return optimizer.update(p * x.sum(), optimizer.init(p), p)[0]


step = jax.jit(jax.shard_map(grown, mesh=mesh, in_specs=(P(), P("x")), out_specs=P("x")))
found["gradient not summed"] = message(lambda: step(np.ones((4, 4)), np.ones(8)))

over = from_rule(rules.ClipByGlobalNorm(1.0) >> rules.SGD(), 1.0, axis_name="copies")
batched = jax.vmap(lambda p: over.update(p, over.init(p), p)[0], axis_name="copies")
found["vmap"] = np.asarray(batched(jnp.asarray([[3.0], [4.0]]))).ravel().tolist()

# A shard that a device makes by itself, of ones: JAX tracks that it does not vary, and yet it is one part of eight.
def made(g):
    optimizer = from_rule(RULES["LARS"], 1.0, axis_name="x")
    p = jnp.ones_like(g)
    return optimizer.update(g, optimizer.init(p), p)[0]


g = np.abs(rng.normal(size=(8, 3))).astype(np.float32)
whole = from_rule(RULES["LARS"], 1.0)
ones = np.ones_like(g)
expected = whole.update(g, whole.init(ones), ones)[0]
result = jax.jit(jax.shard_map(made, mesh=mesh, in_specs=P("x"), out_specs=P("x")))(g)
found["made inside"] = float(np.abs(result / expected - 1).max())

for wrong in (1, ["x"], {"a": "x"}):
    found[f"argument {wrong}"] = message(lambda: from_rule(RULES["LARS"], S, axis_name=wrong))
print(json.dumps(found))
"""


def output(*arguments):
    """Return what Python prints on eight devices."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found():
    """What a process with eight devices found."""
    return json.loads(output("-c", PROGRAM))


RULES = ("Adam", "LARS", "LAMB", "clip each", "clip all", "Adafactor")
NO_MOVES = {"all-gather": 0, "all-to-all": 0, "collective-permute": 0, "reduce-scatter": 0}


@pytest.mark.parametrize("case", [*(f"jit {name}" for name in RULES), "explicit clip all"])
def test_under_jit_sharded_parameters_train_as_on_one_device_and_stay_sharded(found, case):
    assert found[case]["apart"] < 1e-6
    assert found[case]["kept"]


@pytest.mark.parametrize("case", [*(f"jit {name}" for name in RULES), "explicit clip all", "specs clip all"])
def test_no_parameter_is_moved(found, case):
    assert found[case].items() >= NO_MOVES.items()


def test_what_has_no_norm_needs_no_communication(found):
    assert found["jit Adam"]["all-reduce"] == found["specs Adam"]["all-reduce"] == 0


@pytest.mark.parametrize(
    "case", ["specs Adam", "specs LAMB", "specs clip all", "unchecked clip all", "names clip all", "half manual"]
)
def test_in_shard_map_norms_are_added_up_over_the_axes_that_split(found, case):
    assert found[case]["apart"] < 1e-6


def test_in_shard_map_there_are_fewer_all_reduces(found):
    # Two requests for sums; matrices and the rest of the parameters are split over two sets of axes.
    assert found["specs clip all"]["all-reduce"] == 4
    assert found["specs clip all"]["all-reduce"] < found["jit clip all"]["all-reduce"]


def test_norms_of_each_device_would_fail_the_comparison(found):
    assert found["own norms"] > 1e-3


@pytest.mark.parametrize("case", ["copies LARS", "copies Adafactor"])
def test_replicas_in_shard_map_need_no_axes(found, case):
    assert found[case] < 1e-6


@pytest.mark.parametrize(
    "case", ["no axes", "no axes, unchecked", "names, unchecked", "chain", "pmap", "gradient not summed"]
)
def test_a_norm_over_unknown_axes_is_refused(found, case):
    assert found[case].startswith("ValueError: inside shard_map or pmap a rule with norms must be told which mesh axes")


def test_a_rule_without_norms_needs_no_axes(found):
    assert found["no axes, no norms"] == "no error"


@pytest.mark.parametrize("case", ["matrix rule", "matrix rule, no axes"])
def test_a_matrix_rule_refuses_shards(found, case):
    assert found[case].startswith("ValueError: the rule Adafactor() must get whole tensors, got shards")


def test_an_axis_of_vmap_may_be_summed_over(found):
    # Gradients 3 and 4 have the norm 5.
    assert found["vmap"] == pytest.approx([-0.6, -0.8])


def test_a_shard_that_is_the_same_on_all_devices_counts_as_often(found):
    assert found["made inside"] < 1e-6


@pytest.mark.parametrize("wrong", [1, ["x"], {"a": "x"}], ids=str)
def test_other_axis_names_are_refused(found, wrong):
    assert found[f"argument {wrong}"].startswith("TypeError: from_rule(axis_name=...) must be a name, a tuple of names")


@pytest.mark.slow
def test_the_example_runs():
    assert "largest difference between jit and shard_map" in output(str(EXAMPLE))
