"""`build_param_schedulers` gives the rates of MMEngine's own schedulers, stepped by its own hook.

The live schedulers run in arithmetic of 40 digits: they multiply step by step, so that their rounding in float64 adds
up, and next to the end of a cosine it grows.
"""

import contextlib
import types
import warnings

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import load, sgd, stub
from test_compat_mmengine import live

from lrsched.compat import mmengine

mp = mpmath.mp.clone()
mp.dps = 40
ENDLESS = 10**9


def _with_mixins():
    """Load the classes for rates and for momenta, and the hook."""
    registry = types.SimpleNamespace(register_module=lambda *a, **k: lambda cls: cls)
    stubs = [
        *(stub(f"mmengine{name}", __path__=[]) for name in ("", ".optim.scheduler")),
        stub("mmengine.optim", __path__=[], _ParamScheduler=live._ParamScheduler),
        stub("mmengine.registry", PARAM_SCHEDULERS=registry, HOOKS=registry),
        stub("mmengine.utils", is_list_of=lambda things, kind: all(isinstance(thing, kind) for thing in things)),
        stub("mmengine.hooks", __path__=[]),
        stub("mmengine.hooks.hook", Hook=object),
        types.ModuleType("mmengine.optim.scheduler.param_scheduler"),
    ]
    stubs[-1].__dict__.update(live.__dict__)
    package = "mmengine.optim.scheduler"
    rates = load("mmengine", "optim/scheduler/lr_scheduler.py", stubs, f"{package}.lr_scheduler")
    momenta = load("mmengine", "optim/scheduler/momentum_scheduler.py", stubs, f"{package}.momentum_scheduler")
    hook = load("mmengine", "hooks/param_scheduler_hook.py", stubs, "mmengine.hooks.param_scheduler_hook")
    return {**vars(rates), **vars(momenta)}, hook.ParamSchedulerHook()


CLASSES, HOOK = _with_mixins()


@contextlib.contextmanager
def exactly():
    """Let the live schedulers compute in 40 digits."""
    before = live.math
    live.math = types.SimpleNamespace(pi=mp.pi, cos=mp.cos)
    try:
        yield
    finally:
        live.math = before


def exact(content):
    return mp.mpf(content) if type(content) is float else content


def run(lr, configs, updates, epoch_length=1, max_epochs=None, max_iters=None, param="lr"):
    """Return the values of a parameter that each update uses, as MMEngine's Runner, its loops and the hook go."""
    optimizer = sgd(0.1)
    optimizer.param_groups[0]["momentum"] = optimizer.defaults["momentum"] = 0.0
    optimizer.param_groups[0][param] = mp.mpf(lr)
    runner = types.SimpleNamespace(param_schedulers=[])
    found = []
    with exactly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for config in configs:
            given = {"end": max_epochs or 1 if config.get("by_epoch", True) else max_iters or max_epochs * epoch_length}
            given |= {k: v if k == "pct_start" else exact(v) for k, v in config.items()}
            build = CLASSES[given.pop("type").rpartition(".")[2]]
            if given.pop("convert_to_iter_based", False):
                build, given["epoch_length"] = build.build_iter_from_epoch, epoch_length
            runner.param_schedulers.append(build(optimizer, **given))
        for update in range(updates):
            found.append(optimizer.param_groups[0][param])
            HOOK.after_train_iter(runner, update)
            if max_epochs is not None and (update + 1) % epoch_length == 0:
                HOOK.after_train_epoch(runner)
    return found


def assert_equal(ours, theirs, rtol=1e-12):
    theirs = [float(value) for value in theirs]
    atol = 1e-16 * max(theirs, default=0.0)
    steps = range(len(theirs))
    np.testing.assert_allclose([ours(t) for t in steps], theirs, rtol, atol, err_msg=repr(ours)[:600])
    np.testing.assert_allclose(ours(np.arange(len(theirs))), theirs, rtol, atol, err_msg=repr(ours)[:600])


factors = st.sampled_from([0.1, 0.5, 1 / 3, 1.0])
lows = st.sampled_from([0.0, 1e-3, 0.05, 0.2])


def lowest(draw):
    return draw(
        st.one_of(
            st.builds(lambda low: {"eta_min": low}, lows), st.builds(lambda part: {"eta_min_ratio": part}, factors)
        )
    )


@st.composite
def dictionaries(draw, kinds=None):
    """One dictionary of a list."""
    kind = draw(st.sampled_from(kinds or list(OWN)))
    by_epoch = draw(st.booleans())
    config = {"type": draw(st.sampled_from(["", "mmengine.", "mmdet."])) + kind, "by_epoch": by_epoch}
    if by_epoch and draw(st.booleans()):
        config["convert_to_iter_based"] = True
    begin = draw(st.integers(0, 12))
    length = draw(st.integers(1, 25))
    config |= {"begin": begin} if begin or draw(st.booleans()) else {}
    end = draw(st.sampled_from(["none", "given", "given", "endless"]))
    if end == "given" or begin:
        config["end"] = begin + length
    elif end == "endless":
        config["end"] = ENDLESS
    own = OWN[kind](draw, config.get("end", 1) - begin)
    if kind == "OneCycleLR":
        # Its steps beyond the cycle raise in MMEngine.
        config["end"] = begin + own["total_steps"] - draw(st.integers(0, 4))
    return {**config, **own}


def one_cycle(draw, acting):
    return {
        "eta_max": draw(st.sampled_from([0.1, 1.0])),
        "total_steps": draw(st.integers(5, 30)),
        "pct_start": 0.3,
        "three_phase": draw(st.booleans()),
        "anneal_strategy": draw(st.sampled_from(["cos", "linear"])),
    }


def restarts(draw, acting):
    periods = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    weights = [draw(st.sampled_from([1.0, 0.5])) for _ in periods]
    return {"periods": periods, "restart_weights": weights, **lowest(draw)}


OWN = {
    "ConstantLR": lambda draw, acting: {"factor": draw(factors)},
    "CosineAnnealingLR": lambda draw, acting: (
        ({"T_max": draw(st.integers(1, 15))} if acting >= ENDLESS or draw(st.booleans()) else {}) | lowest(draw)
    ),
    "CosineRestartLR": restarts,
    "ExponentialLR": lambda draw, acting: {"gamma": draw(st.sampled_from([0.5, 0.9, 1.0, 1.01]))},
    "LinearLR": lambda draw, acting: {
        "start_factor": draw(factors),
        "end_factor": draw(st.sampled_from([0.0, 0.5, 1.0])),
    },
    "MultiStepLR": lambda draw, acting: {
        "milestones": draw(st.lists(st.integers(0, 25), max_size=4)),
        "gamma": draw(st.sampled_from([0.1, 0.5])),
    },
    "OneCycleLR": one_cycle,
    "PolyLR": lambda draw, acting: {"power": draw(st.sampled_from([0.9, 1.0, 2.0])), "eta_min": draw(lows)},
    "StepLR": lambda draw, acting: {"step_size": draw(st.integers(1, 9)), "gamma": draw(st.sampled_from([0.1, 0.5]))},
}


@st.composite
def runs(draw, kinds=None):
    """A list and the loop that it runs in."""
    loop = {"epoch_length": draw(st.integers(1, 9))}
    if draw(st.booleans()):
        loop["max_epochs"] = draw(st.integers(1, 20))
    else:
        loop["max_iters"] = draw(st.integers(1, 90))
    configs = draw(st.lists(dictionaries(kinds), min_size=1, max_size=4))
    cycles = [i for i, config in enumerate(configs) if "OneCycleLR" in config["type"]]
    return [config for i, config in enumerate(configs) if i not in cycles[1:]], loop


@settings(max_examples=60)
@given(st.sampled_from([0.1, 1.0]), runs())
def test_any_list_in_any_loop_has_the_rates_that_the_hook_gives(lr, drawn):
    configs, loop = drawn
    updates = loop.get("max_iters", loop.get("max_epochs", 0) * loop["epoch_length"])
    theirs = run(lr, configs, updates, **loop)
    if min(theirs) < 0:
        with pytest.raises(ValueError, match="schedulers that leave the rate >= 0, at update"):
            mmengine.build_param_schedulers(lr, configs, **loop)
        return
    assert_equal(mmengine.build_param_schedulers(lr, configs, **loop), theirs)


# Lists as OpenMMLab's configurations have them, with fewer iterations to an epoch: base rate, list, loop.
def _line(**given):
    return {"type": "LinearLR", **given}


def _cosine(**given):
    return {"type": "CosineAnnealingLR", **given}


def _drops(end, milestones, **given):
    return {"type": "MultiStepLR", "begin": 0, "end": end, "milestones": milestones, "gamma": 0.1, **given}


_EPOCHS = {"by_epoch": True}
_CONVERTED = {"by_epoch": True, "convert_to_iter_based": True}
_ITERATIONS = {"by_epoch": False}
_FIRST_500 = _line(start_factor=0.001, by_epoch=False, begin=0, end=500)
PUBLISHED = {
    "mmdetection 1x": (0.02, [_FIRST_500, _drops(12, [8, 11], **_EPOCHS)], (73, 12)),
    "mmdetection 2x": (0.02, [_FIRST_500, _drops(24, [16, 22], **_EPOCHS)], (73, 24)),
    "mmdetection 20e": (0.02, [_FIRST_500, _drops(20, [16, 19], **_EPOCHS)], (73, 20)),
    "mmdetection yolox": (
        0.01,
        [
            {"type": "mmdet.QuadraticWarmupLR", "begin": 0, "end": 5, **_CONVERTED},
            _cosine(eta_min=0.01 * 0.05, begin=5, T_max=85, end=85, **_CONVERTED),
            {"type": "ConstantLR", "factor": 1, "begin": 85, "end": 100, **_EPOCHS},
        ],
        (20, 100),
    ),
    "mmdetection rtmdet": (
        0.004,
        [
            _line(start_factor=1e-5, begin=0, end=1000, **_ITERATIONS),
            _cosine(eta_min=0.004 * 0.05, begin=150, end=300, T_max=150, **_CONVERTED),
        ],
        (10, 300),
    ),
    "mmdetection3d cyclic 40e": (
        0.0018,
        [
            _cosine(T_max=40 * 0.4, eta_min=0.018, begin=0, end=40 * 0.4, **_CONVERTED),
            _cosine(T_max=40 * 0.6, eta_min=0.0018 * 1e-4, begin=40 * 0.4, end=40, **_CONVERTED),
        ],
        (37, 40),
    ),
    "mmdetection3d cosine": (
        0.003,
        [
            _line(start_factor=0.1, begin=0, end=1000, **_ITERATIONS),
            _cosine(begin=0, T_max=40, end=40, eta_min=1e-5, **_EPOCHS),
        ],
        (37, 40),
    ),
    "mmsegmentation 160k": (
        0.01,
        [{"type": "PolyLR", "eta_min": 1e-4, "power": 0.9, "begin": 0, "end": 1600, **_ITERATIONS}],
        1600,
    ),
    "mmsegmentation swin 160k": (
        6e-5,
        [
            _line(start_factor=1e-6, begin=0, end=150, **_ITERATIONS),
            {"type": "PolyLR", "eta_min": 0.0, "power": 1.0, "begin": 150, "end": 1600, **_ITERATIONS},
        ],
        1600,
    ),
    "mmpretrain bs256": (0.1, _drops(100, [30, 60, 90], **_EPOCHS), (13, 100)),
    "mmpretrain bs1024 adamw swin": (
        5e-4 * 1024 / 512,
        [_line(start_factor=1e-3, end=20, **_CONVERTED), _cosine(eta_min=1e-5, begin=20, **_EPOCHS)],
        (13, 300),
    ),
    "mmpretrain bs2048 coslr": (0.8, _cosine(T_max=100, begin=0, end=100, **_EPOCHS), (13, 100)),
    "mmpretrain bs256 200e": (
        0.1,
        [
            _line(start_factor=0.25, begin=0, end=5, **_CONVERTED),
            _cosine(T_max=195, begin=5, end=200, **_EPOCHS),
        ],
        (13, 200),
    ),
    "mmpose td-hm": (5e-4, [_FIRST_500, _drops(210, [170, 200], **_EPOCHS)], (23, 210)),
    "mmaction swin": (
        1e-3,
        [
            _line(start_factor=0.1, begin=0, end=2.5, **_CONVERTED),
            _cosine(T_max=30, eta_min=0, begin=0, end=30, **_EPOCHS),
        ],
        (57, 30),
    ),
    "mmaction slowfast": (
        0.1,
        [
            _line(start_factor=0.1, begin=0, end=34, **_CONVERTED),
            _cosine(T_max=256, eta_min=0, begin=0, end=256, **_EPOCHS),
        ],
        (11, 256),
    ),
}


def _loop(length):
    return {"max_iters": length} if isinstance(length, int) else {"epoch_length": length[0], "max_epochs": length[1]}


class _QuadraticWarmupLR(live._ParamScheduler):
    """MMDetection's rule: the rate grows by `base * (2 k + 1) / (end - begin)**2`."""

    def __init__(self, optimizer, begin, end, **rest):
        self.total_iters = end - begin
        super().__init__(optimizer, "lr", begin, end, **rest)

    @classmethod
    def build_iter_from_epoch(cls, optimizer, begin, end, by_epoch, epoch_length):
        return cls(optimizer, begin=begin * epoch_length, end=end * epoch_length, by_epoch=False)

    def _get_value(self):
        grown = [base * (2 * self.last_step + 1) / self.total_iters**2 for base in self.base_values]
        if self.last_step == 0:
            return grown
        return [group["lr"] + more for group, more in zip(self.optimizer.param_groups, grown, strict=True)]


CLASSES["QuadraticWarmupLR"] = _QuadraticWarmupLR


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_lists_of_openmmlab_have_the_rates_of_their_whole_runs(name):
    lr, configs, length = PUBLISHED[name]
    loop = _loop(length)
    updates = loop.get("max_iters") or loop["epoch_length"] * loop["max_epochs"]
    theirs = run(lr, configs if isinstance(configs, list) else [configs], updates, **loop)
    assert_equal(mmengine.build_param_schedulers(lr, configs, **loop), theirs)


def test_a_warm_up_in_iterations_over_drops_in_epochs_is_one_line_and_a_staircase():
    lr, configs, _ = PUBLISHED["mmdetection 1x"]
    s = mmengine.build_param_schedulers(lr, configs, epoch_length=7330, max_epochs=12)
    assert repr(s) == (
        "Linear(2e-05, 0.02, steps=499) >> Constant(0.02, steps=58141) >> Constant(0.002, steps=21990) >> "
        "Constant(0.0002)"
    )


# The twins that schedule something else.

_CYCLIC = [
    *PUBLISHED["mmdetection3d cyclic 40e"][1],
    {"type": "CosineAnnealingMomentum", "T_max": 16, "eta_min": 0.85 / 0.95, "begin": 0, "end": 16, **_CONVERTED},
    {"type": "CosineAnnealingMomentum", "T_max": 24, "eta_min": 1, "begin": 16, "end": 40, **_CONVERTED},
]


def test_the_momentum_of_a_list_is_given_on_request():
    loop = _loop((37, 40))
    ours = mmengine.build_param_schedulers(0.95, _CYCLIC, param="momentum", **loop)
    assert_equal(ours, run(0.95, _CYCLIC[2:], 37 * 40, param="momentum", **loop))


def test_a_momentum_that_is_left_out_is_said():
    loop = _loop((37, 40))
    message = r"CosineAnnealingMomentum in this list schedules momentum, .*configs, \.\.\., param='momentum'\) gives it"
    with pytest.warns(UserWarning, match=message) as caught:
        dropped = mmengine.build_param_schedulers(0.0018, _CYCLIC, **loop)
    assert caught[0].filename == __file__
    assert dropped == mmengine.build_param_schedulers(0.0018, _CYCLIC[:2], **loop)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mmengine.build_param_schedulers(0.0018, _CYCLIC, param="lr", **loop) == dropped


def test_a_scheduler_of_any_parameter_is_taken_for_that_one():
    decay = {
        "type": "CosineAnnealingParamScheduler",
        "param_name": "weight_decay",
        "T_max": 9,
        "end": 9,
        "eta_min": 0.4,
    }
    s = mmengine.build_param_schedulers(0.04, [decay], param="weight_decay")
    assert s == mmengine.CosineAnnealingLR(0.04, 9, 0.4, end=9)
    with pytest.raises(ValueError, match=r"must be schedulers of 'lr', .*got 'CosineAnnealingParamScheduler'"):
        mmengine.build_param_schedulers(0.1, [decay])


# What a dictionary may hold.


@pytest.mark.parametrize("kind", ["StepLR", "mmengine.StepLR", "mmdet.StepLR", CLASSES["StepLR"]])
def test_a_type_may_have_a_scope_or_be_a_class(kind):
    config = {"type": kind, "step_size": 3, "_scope_": "mmdet", "verbose": True, "last_step": -1}
    assert mmengine.build_param_schedulers(0.1, config) == mmengine.StepLR(0.1, 3)


def test_text_is_read_as_the_number_that_it_is():
    text = {"type": "MultiStepLR", "milestones": "(8, 11)", "gamma": "1e-1", "by_epoch": "True", "end": "12"}
    plain = {"type": "MultiStepLR", "milestones": [8, 11], "gamma": 0.1, "by_epoch": True, "end": 12}
    assert mmengine.build_param_schedulers(0.1, [text]) == mmengine.build_param_schedulers(0.1, [plain])


_POLY = {"type": "PolyLR", "end": 9}


@pytest.mark.parametrize(
    ("configs", "given", "error", "message"),
    [
        ([], {}, ValueError, r"configs=...\) must be one or more dictionaries, got \[\]"),
        ("StepLR", {}, TypeError, r"configs=...\) must be a dictionary or a sequence of them, got 'StepLR'"),
        ([3], {}, TypeError, r"configs=...\)\[0\] must be a dictionary, got 3"),
        ({"generator": [_POLY]}, {}, ValueError, r"must be the list of one optimizer.*got a dictionary of 'generator'"),
        ([{"step_size": 3}], {}, ValueError, r"\[0\]\['type'\] must be one of ConstantLR, .*got None"),
        ([{"type": "NoLR"}], {}, ValueError, r"\[0\]\['type'\] must be one of ConstantLR, .*got 'NoLR'"),
        ([{"type": "OneCycleMomentum"}], {}, ValueError, r"\['type'\] must be one of .*got 'OneCycleMomentum'"),
        (
            [{"type": "ReduceOnPlateauLR"}],
            {},
            ValueError,
            r"depends on a metric use lrsched.feedback.Plateau, got 'Red",
        ),
        ([{"type": "StepLR", "size": 3}], {}, TypeError, r"what a StepLR takes, got 'size'"),
        ([{"type": "StepLR", "step_sise": 3}], {}, TypeError, r"got 'step_sise': 'step_size' is read, is that meant"),
        ([{"type": "StepLR"}], {}, TypeError, r"StepLR\(\) is missing a required argument: 'step_size'"),
        ([{**_POLY, "last_step": 5}], {}, ValueError, r"PolyLR\(last_step=...\) must be -1"),
        ([{**_POLY, "power": "two"}], {}, TypeError, r"PolyLR\(power=...\) must be a finite number > 0, got 'two'"),
        (
            [{"type": "PolyLR"}],
            {},
            ValueError,
            r"\[0\]\['end'\] must be given for a PolyLR, or max_epochs of the train",
        ),
        ([{"type": "CosineAnnealingLR"}], {}, ValueError, r"\['end'\] must be given for a CosineAnnealingLR"),
        ([{**_POLY, **_CONVERTED}], {}, ValueError, r"PolyLR\(epoch_length=...\) must be given with convert_to_iter"),
        (
            [{**_POLY, "convert_to_iter_based": True, "by_epoch": False}],
            {"epoch_length": 3},
            ValueError,
            "False if by_",
        ),
        ([_POLY, {**_POLY, **_ITERATIONS}], {}, ValueError, r"epoch_length=...\) must be given where some schedulers"),
        (
            [_POLY],
            {"max_epochs": 3, "max_iters": 9},
            ValueError,
            r"max_iters=...\) must be None if max_epochs is given",
        ),
        ([{**_POLY, "end": 2.5}], {}, ValueError, r"PolyLR\(end=...\) must be a whole number of steps, got 2.5"),
    ],
)
def test_what_a_list_must_not_hold_is_named(configs, given, error, message):
    with pytest.raises(error, match=message):
        mmengine.build_param_schedulers(0.1, configs, **given)


def test_two_cycles_are_refused_for_mmengine_mixes_their_rates():
    cycles = [
        {"type": "OneCycleLR", "eta_max": top, "begin": begin, "end": begin + 30}
        for top, begin in ((1.0, 0), (0.1, 30))
    ]
    with pytest.raises(ValueError, match=r"must be one OneCycleLR at most"):
        mmengine.build_param_schedulers(0.1, cycles)


def test_what_has_no_formula_and_is_too_long_to_list_is_refused():
    configs = [_cosine(T_max=10**7, eta_min=0.01, end=10**7), {"type": "ExponentialLR", "gamma": 0.999999}]
    with pytest.raises(
        ValueError, match=r"schedulers that act together for at most 1048576 updates, got 'CosineAnneal"
    ):
        mmengine.build_param_schedulers(0.1, configs)


# Epochs that become iterations, in single functions.


@settings(max_examples=40)
@given(st.sampled_from([k for k in OWN if k != "OneCycleLR"]), st.data(), st.integers(1, 9))
def test_a_single_scheduler_is_converted_as_mmengine_converts_it(name, data, length):
    begin, acting = data.draw(st.sampled_from([0, 2, 0.5])), data.draw(st.integers(1, 12))
    config = {"begin": begin, "end": begin + acting, **OWN[name](data.draw, acting), **_CONVERTED}
    theirs = run(0.5, [{"type": name, **config}], 15 * length, length, 15)
    if min(theirs) >= 0:
        assert_equal(getattr(mmengine, name)(0.5, **config, epoch_length=length), theirs)


def test_a_length_in_parts_of_an_epoch_must_come_to_whole_iterations():
    given = {"convert_to_iter_based": True, "epoch_length": 10}
    assert mmengine.StepLR(1.0, 0.3, **given) == mmengine.StepLR(1.0, 3)
    with pytest.raises(ValueError, match=r"StepLR\(step_size=...\) must be a whole number of steps >= 1, got 2.5"):
        mmengine.StepLR(1.0, 0.25, **given)
    with pytest.raises(ValueError, match=r"StepLR\(convert_to_iter_based=...\) must be False if by_epoch is"):
        mmengine.StepLR(1.0, 3, by_epoch=False, **given)
