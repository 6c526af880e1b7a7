"""compat.levanter gives the values of Levanter's own schedule, computed in float64 and in float32."""

import abc
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_agrees, definitions

from lrsched.compat import levanter

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
pytest.importorskip("torch")

NAMES = [
    "LrScheduleContext", "LrSchedule", "ConstantLrSchedule", "CosineLrSchedule", "LinearLrSchedule",
    "InvSqrtLrSchedule", "InvLrSchedule", "PowerLrSchedule", "OptimizerConfig", "_inv_sqrt_decay_schedule",
    "_inv_decay_schedule", "_convert_frac_or_steps",
]  # fmt: skip


class ChoiceRegistry:
    known: dict = {}  # noqa: RUF012

    @classmethod
    def register_subclass(cls, name):
        def keep(sub):
            cls.known[name] = sub
            return sub

        return keep


live = types.SimpleNamespace(
    **definitions(
        "levanter", "optim/config.py", NAMES, abc=abc, warnings=warnings, dataclass=dataclass, Callable=Callable,
        Optional=Optional, draccus=types.SimpleNamespace(ChoiceRegistry=ChoiceRegistry), np=np, optax=optax,
        jnp=jax.numpy, __name__="levanter_of_the_tests",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Config(live.OptimizerConfig):
    def build(self, num_train_steps):
        raise NotImplementedError


def native(total, arguments, steps, double):
    """Return the values of Levanter's schedule; it takes the kinds of decay as objects."""
    arguments = dict(arguments)
    override = arguments.pop("override_lr", None)
    kind = arguments.get("lr_schedule")
    if isinstance(kind, dict):
        arguments["lr_schedule"] = ChoiceRegistry.known[kind["type"]](**{k: v for k, v in kind.items() if k != "type"})
    with warnings.catch_warnings(), jax.enable_x64(double):
        warnings.simplefilter("ignore")
        schedule = Config(**arguments).lr_scheduler(total, override)
        values = schedule(jax.numpy.asarray(steps))
        return np.broadcast_to(np.asarray(values, np.float64), len(steps)).tolist()


def check(total, single=True, **arguments):
    ours = levanter.lr_scheduler(total, **arguments)
    steps = [*range(100), 100_000]  # always as many: JAX compiles for each number
    theirs = native(total, arguments, steps, True)
    assert_agrees(ours, theirs[:-1], single=single)
    assert ours(steps[-1]) == pytest.approx(theirs[-1], rel=1e-12, abs=1e-15)
    # In float32 Levanter counts what is left of a curve by subtraction.
    close = native(total, arguments, steps, False)
    # At the last step the number of tokens overflows its int32, and the power is NaN.
    known = len(steps) - ("batch_size" in str(arguments["lr_schedule"]))
    np.testing.assert_allclose(ours(np.array(steps[:known])), close[:known], 2e-6, 4e-7 * max(close[:known]))


lrs = st.sampled_from([1.0, 6e-4]) | st.floats(1e-5, 5.0)
totals = st.integers(1, 70)
ratios = st.sampled_from([0.1, 1.0, 0.5]) | st.floats(0.01, 2.0)
parts = st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5]) | st.floats(0.0, 0.6)
kinds = st.sampled_from(["constant", "cosine", "linear", "inv_sqrt", "inv"]) | st.one_of(
    st.just({"type": "constant"}),
    st.builds(lambda e: {"type": "cosine", "exponent": e}, st.sampled_from([1.0, 2.0, 0.5])),
    st.just({"type": "linear"}),
    st.just({"type": "inv"}),
    st.builds(lambda t: {"type": "inv_sqrt", "timescale": t}, st.integers(1, 40) | st.floats(0.5, 40.0)),
    st.builds(
        lambda size, length: {"type": "power", "batch_size": size, "seq_length": length},
        st.integers(1, 64),
        st.integers(1, 512),
    ),
    st.just({"type": "power", "batch_size": 4, "seq_length": 16, "a": 0.01, "b": -0.3}),
)


def built(total, **arguments):
    """Return whether the schedule can be built; if not, a phase has no step or a power of a cosine rises."""
    kind, ratio = arguments["lr_schedule"], arguments.get("min_lr_ratio", 0.1)
    rises = isinstance(kind, dict) and kind.get("exponent", 1.0) != 1.0 and ratio > 1.0
    try:
        levanter.lr_scheduler(total, **arguments)
    except ValueError as error:
        if not ("at least one step" in str(error) or (rises and "must be no rise" in str(error))):
            raise
        return False
    return True


@given(lrs, totals, ratios, parts, st.none() | st.floats(0.1, 0.4), st.none() | st.floats(0.0, 0.3), kinds)
@settings(max_examples=20)
def test_warm_up_stable_phase_decay_and_cooldown_are_those_of_levanter(lr, total, ratio, warmup, decay, cooldown, kind):
    named = {"warmup": warmup, "decay": decay, "cooldown": cooldown, "lr_schedule": kind}
    if built(total, learning_rate=lr, min_lr_ratio=ratio, **named):
        check(total, learning_rate=lr, min_lr_ratio=ratio, **named)


@given(
    lrs, totals, st.integers(2, 90), st.none() | st.integers(2, 90), st.sampled_from(["constant", "linear", "inv_sqrt"])
)
def test_phases_longer_than_the_training_are_those_of_levanter(lr, total, warmup, decay, kind):
    check(total, learning_rate=lr, warmup=warmup, decay=decay, lr_schedule=kind, cooldown=None)


shapes = st.one_of(
    st.builds(lambda n: {"cycles": n}, st.integers(1, 5)),
    st.builds(lambda ends: {"cycles": sorted(ends)}, st.sets(st.integers(1, 60), min_size=1, max_size=4)),
    st.builds(lambda ends: {"haps": sorted(ends)}, st.sets(st.integers(1, 60), min_size=1, max_size=4)),
    st.builds(lambda part: {"cycle_length": part}, st.sampled_from([1.0, 0.5, 0.3, 1, 10, 25]) | st.floats(0.1, 1.0)),
    st.builds(lambda sizes: {"cycle_length": sizes}, st.lists(st.integers(5, 20), min_size=1, max_size=3)),
)


@given(lrs, st.integers(60, 90), parts, parts, st.none() | st.floats(0.1, 0.4), kinds, shapes, st.none() | lrs)
def test_cycles_are_those_of_levanter(lr, total, warmup, rewarmup, decay, kind, shape, override):
    named = {"warmup": warmup, "rewarmup": rewarmup, "decay": decay, "lr_schedule": kind, **shape}
    if built(total, learning_rate=lr, **named):
        check(total, learning_rate=lr, override_lr=override, **named)


@given(totals, st.sampled_from(["constant", "cosine", "linear", "inv_sqrt"]))
def test_a_lowest_rate_of_zero_is_that_of_levanter(total, kind):
    check(total, min_lr_ratio=0.0, lr_schedule=kind)


def test_every_decay_of_levanter_is_here():
    assert set(ChoiceRegistry.known) == set(levanter._OPTIONS)


def test_one_means_all_steps():
    assert levanter.lr_scheduler(50, 1.0, warmup=1, lr_schedule="linear")(49) == pytest.approx(0.98, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"warmup": 1.5}, r"warmup=...\) must be a part up to 1 or a whole number"),
        ({"warmup": 120}, r"decay=...\) must be at least one step of each cycle for 'cosine'"),
        ({"lr_schedule": "square"}, r"lr_schedule=...\) must be one of 'constant', 'cosine'"),
        ({"lr_schedule": {"type": "cosine", "power": 2.0}}, r"lr_schedule=...\) must be without 'power'"),
        ({"lr_schedule": {"type": "power", "batch_size": 4}}, r"\['seq_length'\] must be given"),
        ({"lr_schedule": {"type": "power", "batch_size": 4, "seq_length": 4, "b": 0.5}}, r"\['b'\] must be a finite"),
        ({"lr_schedule": "inv", "min_lr_ratio": 0.0}, r"min_lr_ratio=...\) must be > 0 for 'inv'"),
        ({"cycles": 3, "cycle_length": 0.5}, r"cycle_length=...\) must be None where cycles"),
        ({"cycle_length": 0.001}, r"cycle_length=...\) must be at least one step"),
        ({"cycle_length": [60, 60]}, r"cycle_length=...\) must be cycles of at least one step that end by step 100"),
        ({"cycles": [60, 60]}, r"cycles=...\) must be cycles of at least one step"),
        ({"cycles": 500}, r"cycles=...\) must be cycles of at least one step"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=rf"lr_scheduler\({message}|{message}"):
        levanter.lr_scheduler(100, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr_schedule": 3}, r"lr_schedule=...\) must be a name or a dictionary"),
        ({"haps": 3}, r"haps=...\) must be a list of steps"),
        ({"cycles": 2.5}, r"cycles=...\) must be an int"),
        ({"cycles": [2.5]}, r"cycles=...\)\[0\] must be an int"),
    ],
)
def test_what_is_of_the_wrong_kind_is_refused(arguments, message):
    with pytest.raises(TypeError, match=rf"lr_scheduler\({message}"):
        levanter.lr_scheduler(100, **arguments)
