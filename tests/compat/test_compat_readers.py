"""The rule of all readers of configurations: what they recognise is used, and nothing else passes for the default.

A valid configuration is changed in one place. The result is then the same schedule, or an error that names the place.
"""

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsched import Schedule
from lrsched.compat import allennlp, deepspeed, detectron2, levanter, optax, speechbrain, torchtitan, transformers

Config = dict[str, Any]
Place = tuple[Any, ...]


class Reader(NamedTuple):
    """A reader, configurations for it, and the places in which they speak of the schedule."""

    read: Callable[[Any], Schedule]
    configs: st.SearchStrategy[Config]
    places: tuple[Place, ...]


def holding(path: Place, names: tuple[str, ...]) -> tuple[Place, ...]:
    return tuple((*path, name) for name in names)


SOLVER = {
    "LR_SCHEDULER_NAME": st.just("WarmupMultiStepLR"),
    "MAX_ITER": st.integers(1000, 2000),
    "BASE_LR": st.sampled_from([0.02, 0.25]),
    "GAMMA": st.sampled_from([0.5, 0.25]),
    "STEPS": st.tuples(st.integers(300, 500), st.integers(501, 900)).map(list),
    "WARMUP_FACTOR": st.just(0.25),
    "WARMUP_ITERS": st.integers(2, 20),
    "WARMUP_METHOD": st.just("constant"),
    "RESCALE_INTERVAL": st.just(True),
}
COSINE = {
    name: rule for name, rule in SOLVER.items() if name not in ("GAMMA", "STEPS", "LR_SCHEDULER_NAME")
} | {"LR_SCHEDULER_NAME": st.just("WarmupCosineLR"), "BASE_LR_END": st.just(0.001)}  # fmt: skip
GAMMA = {name: rule for name, rule in SOLVER.items() if name not in ("STEPS", "LR_SCHEDULER_NAME")} | {
    "LR_SCHEDULER_NAME": st.just("WarmupStepWithFixedGammaLR"),
    "NUM_DECAYS": st.integers(1, 2),
}
OTHERS = {"IMS_PER_BATCH": 16, "WEIGHT_DECAY": 1e-4, "REFERENCE_WORLD_SIZE": 8, "BIAS_LR_FACTOR": 1.0, "AMP": {}}


def solver(rules: dict[str, Any], whole: bool) -> Reader:
    section = st.fixed_dictionaries(rules).map(lambda c: c | OTHERS)
    model = {"FPN": {"GAMMA": 2.0}, "NAME": "X", "ANCHORS": [{"SIZES": [1, 2]}]}
    configs = section.map(lambda c: {"VERSION": 2, "MODEL": model, "SOLVER": c} if whole else c)
    path = ("SOLVER",) if whole else ()
    return Reader(detectron2.build_lr_scheduler, configs, (*holding(path, tuple(rules)), *((path,) if whole else ())))


WARMUP = {
    "warmup_steps": st.integers(2, 20), "decay_ratio": st.just(0.25), "decay_type": st.just("cosine"),
    "min_lr_factor": st.just(0.5), "total_steps": st.integers(40, 60),
}  # fmt: skip
TABLES = tuple(("lr_scheduler", name) for name in WARMUP)


def torchtitan_config(optimizer: Any, *more: Place, total: bool = True) -> Reader:
    rules = WARMUP if total else {name: rule for name, rule in WARMUP.items() if name != "total_steps"}
    configs = st.fixed_dictionaries(
        {
            "optimizer": optimizer,
            "training": st.integers(30, 39).map(lambda n: {"steps": n, "local_batch_size": 8, "max_norm": 1.0}),
            "lr_scheduler": st.fixed_dictionaries(rules),
            "validator": st.just({"steps": 5, "freq": 10}),
            "parallelism": st.just({"pipeline_parallel_schedule": "1F1B"}),
        }
    )
    own = tuple(place for place in TABLES if total or place[1] != "total_steps")
    places = (("optimizer",), ("lr_scheduler",), *own, *more)
    return Reader(torchtitan.from_config, configs, places if total else (*places, ("training", "steps"), ("training",)))


def param_group(lr: float) -> Config:
    kwargs = {"lr": lr, "weight_decay": 0.1, "eps": 1e-8, "betas": [0.9, 0.95]}
    return {"pattern": ".*", "optimizer_name": "AdamW", "optimizer_kwargs": kwargs}


RATES = st.sampled_from([0.25, 3e-4])
GROUPS = RATES.map(lambda lr: {"param_groups": [param_group(lr)], "implementation": "fused"})
TRAINER = {
    "learning_rate": RATES, "lr_scheduler_type": st.just("cosine_with_min_lr"),
    "lr_scheduler_kwargs": st.just({"min_lr_rate": 0.25, "num_cycles": 1.5}), "max_steps": st.integers(40, 60),
}  # fmt: skip
ASIDE = {
    "output_dir": "out", "weight_decay": 0.1, "save_steps": 500, "eval_steps": 50, "gradient_accumulation_steps": 2,
    "num_train_epochs": 3.0, "optim_args": None, "fsdp_config": {"min_num_params": 0}, "deepspeed": None,
}  # fmt: skip
ENGINE = {
    "train_batch_size": 8, "steps_per_print": 10, "gradient_clipping": 1.0, "zero_optimization": {"stage": 2},
    "data_efficiency": {"data_sampling": {"curriculum_learning": {"schedule_type": "fixed_linear"}}},
    "progressive_layer_drop": {"enabled": False, "theta": 0.5, "gamma": 0.001},
}  # fmt: skip


def trainer(warmup: str, rule: Any) -> Reader:
    rules = {**TRAINER, warmup: rule}
    inner = holding(("lr_scheduler_kwargs",), ("min_lr_rate", "num_cycles"))
    configs = st.fixed_dictionaries(rules).map(lambda c: c | ASIDE)
    return Reader(transformers.from_config, configs, (*holding((), tuple(rules)), *inner))


def engine(name: str, rules: dict[str, Any], whole: bool, rate: bool = False) -> Reader:
    optimizer = {"type": "AdamW", "params": {"lr": 0.5, "betas": [0.9, 0.95], "weight_decay": 0.1}}
    section = st.fixed_dictionaries({"type": st.just(name), "params": st.fixed_dictionaries(rules)})
    configs = section.map(lambda c: {**ENGINE, "optimizer": optimizer, "scheduler": c} if whole else c)
    path: Place = ("scheduler",) if whole else ()
    more = (("optimizer",), ("optimizer", "params"), ("optimizer", "params", "lr")) if rate else ()
    places = (*holding((*path, "params"), tuple(rules)), *holding(path, ("type", "params")), *more)
    return Reader(deepspeed.from_config, configs, (*places, path) if whole else places)


DECAY = {
    "total_num_steps": st.integers(40, 60), "warmup_min_lr": st.just(0.125), "warmup_max_lr": RATES,
    "warmup_num_steps": st.integers(3, 20), "warmup_type": st.just("linear"),
}  # fmt: skip
POWER = {"type": st.just("cosine"), "exponent": st.sampled_from([2.0, 3.0])}
PEAKS = {
    "init_value": st.just(0.125), "peak_value": RATES, "warmup_steps": st.integers(1, 9),
    "decay_steps": st.integers(20, 40), "end_value": st.just(0.0625),
}  # fmt: skip
READERS = {
    "detectron2 whole": solver(SOLVER, True),
    "detectron2 section": solver(SOLVER, False),
    "detectron2 cosine": solver(COSINE, True),
    "detectron2 gamma": solver(GAMMA, False),
    "torchtitan 0.3": torchtitan_config(
        GROUPS, ("optimizer", "param_groups"), ("optimizer", "param_groups", 0, "optimizer_kwargs"),
        ("optimizer", "param_groups", 0, "optimizer_kwargs", "lr"),
    ),
    "torchtitan toml": torchtitan_config(RATES.map(lambda lr: {"lr": lr, "name": "AdamW", "weight_decay": 0.1}),
                                         ("optimizer", "lr"), total=False),
    "transformers steps": trainer("warmup_steps", st.integers(2, 20)),
    "transformers ratio": trainer("warmup_ratio", st.just(0.25)),
    "deepspeed": engine("WarmupDecayLR", DECAY, True),
    "deepspeed section": engine("WarmupDecayLR", DECAY, False),
    "deepspeed cosine": engine(
        "WarmupCosineLR", {"total_num_steps": st.integers(40, 60), "cos_min_ratio": st.just(0.25)}, True, True
    ),
    "deepspeed torch": engine("MultiStepLR", {"milestones": st.just([3, 9]), "gamma": st.just(0.5)}, True, True),
    "levanter": Reader(
        lambda c: levanter.lr_scheduler(100, learning_rate=0.5, lr_schedule=c), st.fixed_dictionaries(POWER),
        (("type",), ("exponent",)),
    ),
    "allennlp": Reader(
        lambda c: allennlp.combined(0.5, [(2, c), (2, {"type": "constant"})], 10),
        st.fixed_dictionaries({"type": st.just("step"), "step_size": st.just(1), "gamma": st.just(0.5)}),
        (("type",), ("step_size",), ("gamma",)),
    ),
    "speechbrain": Reader(
        lambda c: speechbrain.IntervalScheduler(0.5, [c]),
        st.fixed_dictionaries({"steps": st.integers(1, 9), "lr": RATES}), (("steps",), ("lr",)),
    ),
    "optax": Reader(
        lambda c: optax.sgdr_schedule([c]), st.fixed_dictionaries(PEAKS), tuple((name,) for name in PEAKS),
    ),
}  # fmt: skip
EACH = pytest.mark.parametrize("name", READERS)
FEW = settings(max_examples=15)


def at(config: Any, place: Place) -> Any:
    for name in place:
        config = config[name]
    return config


def drawn(data: st.DataObject, name: str) -> tuple[Reader, Config, Place]:
    reader = READERS[name]
    return reader, data.draw(reader.configs), data.draw(st.sampled_from(reader.places))


@st.composite
def misspellings(draw: Any, name: str) -> str:
    i = draw(st.integers(0, len(name) - 1))
    letters = st.sampled_from("abcdefghijklmnopqrstuvwxyz")
    return draw(
        st.sampled_from(
            [name[:i] + name[i + 1 :], name[:i] + name[i] + name[i:], name[:i] + draw(letters) + name[i + 1 :],
             name[:i] + name[i : i + 2][::-1] + name[i + 2 :], name.upper(), name.lower(), name.title(),
             name.replace("_", "-"), name.replace("_", ""), name + "s", name.rstrip("sS") or name,
             "".join(part.title() for part in name.split("_")), f"{name}_", f" {name}"]
        )
    )  # fmt: skip


def check(reader: Reader, before: Config, after: Any, name: str) -> None:
    """Check that a changed configuration gives the same schedule, or an error that names the change."""
    try:
        found = reader.read(after)
    except (TypeError, ValueError) as error:
        assert name in str(error), f"{error} does not name {name!r}"  # noqa: PT017
    else:
        assert found == reader.read(before), f"{after} is read as {found}"


@EACH
@given(data=st.data())
@FEW
def test_a_configuration_is_read(name: str, data: st.DataObject):
    reader, config, place = drawn(data, name)
    kept = copy.deepcopy(config)
    assert isinstance(reader.read(config), Schedule)
    assert config == kept
    assert at(config, place) is not None


@EACH
@given(data=st.data())
@FEW
def test_a_misspelt_name_is_no_default(name: str, data: st.DataObject):
    reader, config, place = drawn(data, name)
    other = data.draw(misspellings(place[-1]) if isinstance(place[-1], str) else st.nothing())
    changed = copy.deepcopy(config)
    section = at(changed, place[:-1])
    section[other] = section.pop(place[-1])
    check(reader, config, changed, other)


@EACH
@given(data=st.data(), names=st.lists(st.sampled_from(["args", "x", "settings", "0"]), min_size=1, max_size=3))
@FEW
def test_a_name_one_level_deeper_is_no_default(name: str, data: st.DataObject, names: list[str]):
    reader, config, place = drawn(data, name)
    changed = copy.deepcopy(config)
    section = at(changed, place[:-1])
    inner: Any = {place[-1]: section.pop(place[-1])}
    for outer in names[1:]:
        inner = {outer: data.draw(st.sampled_from([inner, [inner], [{}, inner]]))}
    section[names[0]] = inner
    check(reader, config, changed, str(place[-1]))


@EACH
@given(data=st.data())
@FEW
def test_everything_one_level_deeper_is_no_default(name: str, data: st.DataObject):
    reader, config, _ = drawn(data, name)
    place = data.draw(st.sampled_from(sorted({place[:1] for place in reader.places})))
    for around in ({"config": config}, {"config": {"trainer": config, "seed": 3}}, {"seed": 3, "args": [config]}):
        with pytest.raises((TypeError, ValueError), match=r"must|missing|unexpected"):
            reader.read(around)
    assert place


@EACH
@given(data=st.data())
@FEW
def test_a_name_in_another_section_is_no_default(name: str, data: st.DataObject):
    reader, config, place = drawn(data, name)
    homes = sorted({other[:i] for other in reader.places for i in range(len(other))} - {place[:-1]}, key=str)
    if not homes:
        return
    changed = copy.deepcopy(config)
    value = at(changed, place[:-1]).pop(place[-1])
    home = data.draw(st.sampled_from(homes))
    if home[: len(place)] == place or not isinstance(at(changed, home), dict) or place[-1] in at(changed, home):
        return
    at(changed, home)[place[-1]] = value
    check(reader, config, changed, str(place[-1]))


@EACH
@given(data=st.data())
@FEW
def test_a_number_left_as_text_is_that_number(name: str, data: st.DataObject):
    reader, config, place = drawn(data, name)
    value = at(config, place)
    changed = copy.deepcopy(config)
    if isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict)):
        return
    text = data.draw(
        st.sampled_from([str(value), f" {value} ", f"{value:e}" if isinstance(value, float) else str(value)])
    )
    at(changed, place[:-1])[place[-1]] = value if isinstance(value, str) else text
    assert reader.read(changed) == reader.read(config)


WRONG = [None, True, "auto", "", "1e-3x", math.nan, [], [[1]], {}, {"a": 1}, "none of these", -1, [None], object()]


@EACH
@given(data=st.data(), wrong=st.sampled_from(WRONG))
@FEW
def test_a_value_of_a_wrong_kind_is_no_default(name: str, data: st.DataObject, wrong: Any):
    reader, config, place = drawn(data, name)
    changed, without = copy.deepcopy(config), copy.deepcopy(config)
    at(changed, place[:-1])[place[-1]] = wrong
    del at(without, place[:-1])[place[-1]]
    expected = [outcome(reader, config)] if wrong is True else []
    if wrong in (None, {}, [], ""):
        expected = [outcome(reader, without)]
    found = outcome(reader, changed)
    if found not in expected:
        # A list may be empty, a length -1 where it is not told, and a wave may run backwards.
        taken = wrong in ([], -1) and place[-1] in ("STEPS", "milestones", "max_steps", "steps", "num_cycles")
        assert taken or (isinstance(found, str) and str(place[-1]) in found), f"{place} = {wrong!r} is read as {found}"


def outcome(reader: Reader, config: Any) -> Schedule | str:
    """Return a schedule, or the text of the error."""
    try:
        return reader.read(config)
    except (TypeError, ValueError) as error:
        return str(error)


FOREIGN = [
    "T_max", "eta_min", "milestones", "gamma", "lr_decay_iters", "lr_warmup_steps", "warmup_t", "decay_steps",
    "num_cycles", "end_lr", "learning_rate_end", "min_lr", "cosine_min_lr_ratio", "scheduler_type", "lr_scheduler",
    "base_lr", "max_lr", "total_iters", "warmup", "MAX_ITERS", "WARMUP_STEPS", "LR", "POLY_LR_POWER", "warmupRatio",
    "step_size", "STEP_SIZE", "max_epochs", "pct_start", "final_div_factor", "start_factor", "WARM_UP_ITERS", "LRS",
]  # fmt: skip


@EACH
@given(data=st.data(), foreign=st.sampled_from(FOREIGN), value=st.sampled_from([0.5, 7, "cosine", [3, 4], True]))
@FEW
def test_a_name_of_another_library_is_no_default(name: str, data: st.DataObject, foreign: str, value: Any):
    reader, config, place = drawn(data, name)
    if any(foreign == other[-1] for other in reader.places):
        return
    changed = copy.deepcopy(config)
    at(changed, place[:-1])[foreign] = value
    if foreign in config:
        return
    with pytest.raises((TypeError, ValueError), match=foreign):
        reader.read(changed)


@EACH
@pytest.mark.parametrize(
    "config", [{}, {"seed": 3}, {"a": {"b": {}}}, [], [1], None, 3, "none of these", True, object()]
)
def test_nothing_is_no_default(name: str, config: Any):
    with pytest.raises((TypeError, ValueError), match=r"must|missing|unexpected"):
        READERS[name].read(config)
