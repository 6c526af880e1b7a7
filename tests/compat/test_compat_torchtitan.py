"""compat.torchtitan gives the rates of torchtitan's own scheduler."""

import json
import sys
import types
from dataclasses import asdict, make_dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, load, rates, sgd, stub

from lrsched.compat.torchtitan import LRSchedulersContainer, from_config


class Configurable:
    class Config:
        pass


class Quiet:
    warning = staticmethod(lambda *a: None)


def _live():
    package = types.ModuleType("torchtitan.components.optimizer")
    package.__path__ = []
    stubs = [
        stub("torchtitan.config", Configurable=Configurable),
        stub("torchtitan.tools.logging", logger=Quiet),
        stub("torchtitan.components.optimizer.optimizer", OptimizersContainer=list),
        package,
    ]
    name = "torchtitan.components.optimizer.lr_scheduler"
    try:
        return load("torchtitan", "components/optimizer/lr_scheduler.py", stubs, name)
    finally:
        sys.modules.pop(name, None)


live = _live()


@given(
    st.sampled_from([1.0, 3e-4]),
    st.integers(1, 40),
    st.integers(0, 45),
    st.sampled_from([None, 0.0, 0.1, 0.25, 0.5, 1.0]),
    st.sampled_from(["linear", "sqrt", "cosine"]),
    st.sampled_from([0.0, 0.1]),
)
def test_the_rate_is_that_of_torchtitan(lr, total, warmup, ratio, kind, factor):
    config = live.LRSchedulersContainer.Config(
        warmup_steps=warmup, decay_ratio=ratio, decay_type=kind, min_lr_factor=factor
    )
    optimizer = sgd(lr)
    scheduler = config.build(optimizers=[optimizer], training_steps=total)
    # After a schedule without a decay torchtitan stops with an assertion.
    over = 0 if (ratio is not None and round(total * ratio) == 0) or warmup >= total else 6
    expected = rates(optimizer, lambda t: scheduler.step(), total + 1 + over)
    ours = LRSchedulersContainer(lr, total, warmup, None, ratio, kind, factor)
    assert_agrees(ours, expected)


def _optimizer():
    """Return torchtitan's module of optimizers, without what it distributes with."""
    package = types.ModuleType("torchtitan.components.optimizer")
    package.__path__ = []
    nothing = stub("x").__class__
    names = {
        "torchtitan.config": {"Configurable": Configurable},
        "torchtitan.tools.logging": {"logger": Quiet},
        "torchtitan.components.checkpointer.utils": {"canonical_fqn": None},
        "torchtitan.distributed": {"ParallelDims": nothing},
        "torchtitan.distributed.flex_shard": {"build_dist_muon": None},
        "torchtitan.components.optimizer.utils": {
            "get_flat_optim_state_dict": None, "init_optim_state": None, "load_flat_optim_state_dict": None,
        },
    }  # fmt: skip
    stubs = [package, *(stub(name, **held) for name, held in names.items())]
    name = "torchtitan.components.optimizer.optimizer"
    try:
        return load("torchtitan", "components/optimizer/optimizer.py", stubs, name)
    finally:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def adamw():
    return _optimizer().default_adamw


@pytest.mark.parametrize("given_", [{}, {"lr": 3e-4}])
def test_the_rate_is_where_torchtitan_keeps_it(adamw, given_):
    config = adamw(**given_)
    lr = config.param_groups[0].optimizer_kwargs["lr"]
    assert lr == given_.get("lr", 8e-4)
    expected = LRSchedulersContainer(lr, 10, warmup_steps=2)
    schedule = live.LRSchedulersContainer.Config(warmup_steps=2)
    tables = {"optimizer": config, "lr_scheduler": schedule, "training": {"steps": 10}}
    assert from_config(tables) == expected
    tables = {name: table if isinstance(table, dict) else asdict(table) for name, table in tables.items()}
    assert from_config(tables) == from_config(json.loads(json.dumps(tables))) == expected
    assert from_config(types.SimpleNamespace(to_dict=lambda: tables)) == expected
    assert from_config(make_dataclass("Trainer", tables)(**tables)) == expected


def groups(*rates):
    return {"param_groups": [
        {"pattern": ".*", "optimizer_name": "AdamW", "optimizer_kwargs": {"lr": lr}} for lr in rates
    ]}  # fmt: skip


def test_groups_with_one_rate_have_one_schedule_and_others_one_each():
    assert from_config({"optimizer": groups(0.1, "1e-1")}) == LRSchedulersContainer(0.1, 10_000)
    two = {"optimizer": groups(0.1, 0.02)}
    assert [from_config(two, group=i) for i in (0, 1)] == [LRSchedulersContainer(lr, 10_000) for lr in (0.1, 0.02)]
    with pytest.raises(ValueError, match=r"group=...\) must be given, for the groups have \[0.1, 0.02\], got None"):
        from_config(two)
    with pytest.raises(ValueError, match=r"group=...\) must be an int >= 0 and <= 1, got 2"):
        from_config(two, group=2)


NEITHER = r"'optimizer'\]\) must be a table with param_groups, each with its rate, or with lr"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"training": {"warmup_steps": 3}}, r"'training'\]\) .*, got 'warmup_steps': it belongs in lr_scheduler"),
        ({"optimizer": {"learning_rate": 3e-4}}, r"'optimizer'\]\) .*, got 'learning_rate'"),
        ({"lr_schedulers": {"warmup_steps": 3}}, "got 'lr_schedulers', .*: 'lr_scheduler' is read"),
        ({"lr_scheduler": {"lr_min": 0.1}}, "got 'lr_min': it is min_lr_factor since 2025-07-30"),
        ({"optimizer": {"name": "AdamW"}}, NEITHER),
        ({"optimizer": {}}, NEITHER),
        ({"optimizer": {"lr": 0.1, **groups(0.1)}}, NEITHER),
        ({"optimizer": {"param_groups": []}}, r"\['param_groups'\] must be at least one group with a rate"),
        ({"optimizer": {"param_groups": {}}}, r"\['param_groups'\] must be a list of dictionaries, got {}"),
        ({"optimizer": {"param_groups": [{"lr": 0.1}]}}, r"\[0\] .*, got 'lr': it belongs in optimizer_kwargs"),
        ({"optimizer": {"param_groups": [{"pattern": ""}]}}, r"\[0\]\['optimizer_kwargs'\] must be .* 'lr'"),
        ({"optimizer": {"param_groups": [{"optimizer_kwargs": {"LR": 1}}]}}, r"\['optimizer_kwargs'\] .* 'LR'"),
        ({"optimizer": {"optimizer_kwargs": {"lr": 1}}}, "got 'optimizer_kwargs"),
        ({"trainer": {"optimizer": {"lr": 0.1}, "training": {}}}, "got 'trainer.optimizer'"),
        ({"optimiser": {"lr": 0.1}}, "got 'optimiser'"),
        ({"training": {"max_steps": 3}}, "got 'max_steps'"),
        ({"lr_scheduler.warmup_steps": 3}, "got 'lr_scheduler.warmup_steps'"),
    ],
)  # fmt: skip
def test_a_configuration_without_its_names_is_refused_by_name(tables, message):
    whole = {"optimizer": {"lr": 0.1}, "training": {"steps": 10}, **tables}
    with pytest.raises((TypeError, ValueError), match=rf"^from_config\(config.*{message}"):
        from_config(whole)


def test_nothing_is_no_configuration():
    with pytest.raises(ValueError, match=r"^from_config\(config\) must hold the tables .*, got nothing$"):
        from_config({})
    with pytest.raises(ValueError, match="such names are under 'config', give that"):
        from_config({"config": {"lr_scheduler": {}, "training": {}}})


def test_a_line_goes_below_zero_after_the_end():
    # total 10, warm-up 2, so the line falls by 1/8 a step and is 0 at step 10
    s = LRSchedulersContainer(1.0, 10, warmup_steps=2)
    assert [s(t) for t in (1, 2, 9, 10, 12)] == [1.0, 1.0, 0.125, 0.0, -0.25]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"total_steps=...\) must be given"),
        ({"training_steps": 9, "decay_type": "exp"}, r"decay_type=...\) must be one of 'linear', 'sqrt', 'cosine'"),
        ({"training_steps": 0}, r"training_steps=...\) must be an int >= 1"),
        ({"training_steps": 9, "decay_ratio": 1.5}, r"decay_ratio=...\) must be a finite number >= 0 and <= 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LRSchedulersContainer(1.0, **arguments)
