"""compat.scenic and .big_vision against their formulas: these trainers are not packaged for installation."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees

from lrsched import Constant
from lrsched.compat import scenic
from lrsched.compat.big_vision import create_learning_rate_schedule
from lrsched.compat.scenic import compound_lr_scheduler

COUNT = 70
warmups = st.integers(0, 15)


durations = st.integers(0, 30) | st.floats(0.1, 30.0)


@given(
    st.integers(2, 60), warmups | st.floats(0.5, 15.0), st.integers(0, 70) | st.floats(0.5, 70.0),
    st.sampled_from(["linear", "polynomial", "cosine", "rsqrt", "stair"]),
    st.sampled_from([1, 2.0]), st.sampled_from([0.0, 0.05]), durations, st.sampled_from([20.0, 2.5]), st.booleans(),
    st.lists(st.integers(0, 60), max_size=3, unique=True), st.booleans(),
)  # fmt: skip
def test_big_vision(total, warmup, cooldown, kind, power, end, shift, scale, scaled, bounds, units):
    """big_vision at 0127fb6 (2025-05-19), utils.py, create_learning_rate_schedule."""
    warmup = warmup if warmup < total else total / 2
    bounds, mults = sorted(bounds), [0.5, 0.25, 0.1][: len(bounds)]

    def formula(t):
        lr = 0.5 * (512 / 256.0 if scaled else 1.0)
        x = min(max((t - warmup) / (total - warmup), 0.0), 1.0)
        if kind in ("linear", "polynomial"):
            lr = end + (lr - end) * (1.0 - x) ** power
        elif kind == "cosine":
            lr = lr * 0.5 * (1.0 + math.cos(math.pi * x))
        elif kind == "rsqrt":
            lr = lr / math.sqrt(1 + (max(t - warmup, 0) + shift) / scale)
        else:
            lr = lr * [1.0, *mults][sum(bound <= t for bound in bounds)]
        if warmup:
            lr = lr * min(1.0, t / warmup)
        return lr * min(1.0, (total - t) / cooldown) if cooldown else lr

    more = {
        "linear": {"power": power, "linear_end" if units else "end": end},
        "polynomial": {"power": power, "end": end},
        "rsqrt": {"timescale_steps": scale, "shift_steps": shift} if units else {"timescale": scale, "shift": shift},
        "stair": {"steps": bounds, "mults": mults},
    }.get(kind, {})
    ours = create_learning_rate_schedule(
        total, 512, base=0.5, decay_type=kind, scale_with_batchsize=scaled, warmup_steps=warmup,
        cooldown_steps=cooldown, **more,
    )  # fmt: skip
    single = all(float(n).is_integer() for n in (warmup, cooldown))
    assert_agrees(ours, [formula(t) for t in range(COUNT)], rtol=1e-11, single=single)


def test_the_lengths_of_big_vision_have_four_units():
    def warmup(**length):
        return create_learning_rate_schedule(100, 8, 64, decay_type="cosine", **length)

    # 5 steps; 43 / 8 = 5.4 -> 5; 0.6 * 64 / 8 = 4.8 -> 5; 0.05 * 100 = 5; and never none
    assert (
        warmup(warmup_steps=5) == warmup(warmup_examples=43) == warmup(warmup_epochs=0.6) == warmup(warmup_percent=0.05)
    )
    assert warmup(warmup_examples=1) == warmup(warmup_steps=1)
    # a negative one counts as not given, as big_vision has it
    assert warmup(warmup_steps=-1, warmup_epochs=0.6) == warmup(warmup_steps=5)


def test_the_time_scale_and_the_shift_of_big_vision_have_four_units():
    def rsqrt(**length):
        return create_learning_rate_schedule(100, 8, 64, decay_type="rsqrt", **length)

    for name in ("timescale", "shift"):
        plain = rsqrt(**{name: 5})
        for unit, amount in (("steps", 5), ("examples", 43), ("epochs", 0.6), ("percent", 0.05)):
            assert rsqrt(**{f"{name}_{unit}": amount}) == plain
    # 1 / sqrt(1 + 15 / 5)
    assert rsqrt(timescale_steps=5)(15) == 0.5


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("cosine", {"timescale": 100}), ("cosine", {"end": 0.1}), ("cosine", {"timescale_steps": 5}),
        ("linear", {"shift": 5}), ("linear", {"steps": [5], "mults": [0.5]}), ("rsqrt", {"power": 2.0}),
        ("rsqrt", {"linear_end": 0.0}), ("stair", {"shift_epochs": 1}),
    ],
)  # fmt: skip
def test_what_a_decay_of_big_vision_does_not_read_is_refused(kind, more):
    name = next(iter(more))
    with pytest.raises(TypeError, match=rf"\({name}=...\) must be left out with decay_type='{kind}', got"):
        create_learning_rate_schedule(100, 8, 64, decay_type=kind, **more)


CONFIG = {
    "base_learning_rate": 0.5, "decay_steps": 30, "end_factor": 0.1, "power": 2.0, "decay_events": [10, 25],
    "decay_factors": [0.5, 0.1], "warmup_alpha": 0.2, "timescale": 20, "decay_factor": 0.5, "steps_per_decay": 7,
    "total_steps": 50, "cooldown_steps": 12, "decay_rate": 0.8,
}  # fmt: skip
NAMES = [
    "constant", "polynomial", "piecewise_constant", "linear_warmup", "rsqrt_decay", "decay_every", "cosine_decay",
    "linear_decay", "linear_cooldown", "exponential_decay",
]  # fmt: skip


def used(config):
    """Return the numbers that the factors use, and no other."""
    names = {name for factor in config["factors"].split("*") for name in scenic._NAMES[factor]}
    return {name: value for name, value in config.items() if name in names or name == "factors"}


# Lengths that are not whole; a fraction of less than 1e-9 of a step is rounding here, and no length of its own.
eighths = st.integers(4, 120).map(lambda n: n / 8)


@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4), warmups | eighths,
    st.sampled_from([25, 50, 12.5]), st.sampled_from([1.0, 2.0, 1.5]), st.sampled_from([1.0, 0.5]),
    st.sampled_from([0.0, 0.1]), st.integers(0, 4) | eighths, st.sampled_from([0.0, 0.01]), st.booleans(),
    st.integers(1, 9) | eighths,
)  # fmt: skip
def test_scenic(names, warmup, cycle, t_mul, m_mul, alpha, start, end, stairs, every):
    """Scenic at 4a38d47 (2026-07-02), train_lib/lr_schedules.py, compound_lr_scheduler."""
    config = {
        **CONFIG, "factors": "*".join(names), "warmup_steps": warmup, "steps_per_cycle": cycle, "t_mul": t_mul,
        "m_mul": m_mul, "alpha": alpha, "start_decay_step": start, "end_learning_rate": end, "staircase": stairs,
        "steps_per_decay": every,
    }  # fmt: skip

    def cosine(t):
        period, length, i = max(0, t - warmup - start), cycle - int(warmup / (50 / cycle)), 0
        while period >= length:  # what Scenic finds by a logarithm
            period, length, i = period - length, length * t_mul, i + 1
        return (1 - alpha) * 0.5 * m_mul**i * (1.0 + math.cos(math.pi * period / length)) + alpha

    def formula(t):
        value = 1.0
        for name in names:
            if name == "linear_decay":
                value = (value - end) * max(1.0 - max(0.0, (t - warmup) / (50 - warmup)), 0.0) + end
                continue
            value *= {
                "constant": 0.5,
                "polynomial": 0.9 * ((t <= 30) * (1 - t / 30)) ** 2.0 + 0.1,
                "piecewise_constant": [1.0, 0.5, 0.1][(t > 10) + (t > 25)],
                "linear_warmup": min(1.0, 0.2 + t * 0.8 / warmup) if warmup else 1.0,
                "rsqrt_decay": math.sqrt(20) / math.sqrt(t + 20 - warmup) if t > warmup else 1.0,
                "decay_every": 0.5 ** (t // every),
                "exponential_decay": 0.8 ** (math.floor(t / 30) if stairs else t / 30),
                "cosine_decay": cosine(t),
                "linear_cooldown": min(1.0, (50 - max(t, warmup)) / 12),
            }[name]
        return value

    # float32 holds the steps of a clock that is not whole to 4e-6
    single = all(float(n).is_integer() for n in (warmup, start, every, cycle))
    ours = compound_lr_scheduler(used(config))
    assert_agrees(ours, [formula(t) for t in range(COUNT)], rtol=1e-10, single=single)


def test_a_cosine_that_the_warm_up_takes_all_of_is_left_out():
    # 4 - int(8 / (8 / 4)) = 0 steps
    config = {"factors": "constant*cosine_decay", "base_learning_rate": 0.5, "steps_per_cycle": 4, "warmup_steps": 8}
    assert {compound_lr_scheduler({**config, "total_steps": 8})(t) for t in range(20)} == {0.5}


def test_a_config_of_scenic_may_say_that_it_is_compound():
    config = {"factors": "constant", "base_learning_rate": "1e-3"}
    assert compound_lr_scheduler({**config, "learning_rate_schedule": "compound"}) == Constant(0.001)


def test_the_base_rate_that_scenic_always_wants_may_be_one_without_the_factor_constant():
    # Scenic's own test: get_learning_rate_fn refuses a configuration without base_learning_rate.
    config = {"factors": "cosine_decay", "steps_per_cycle": 100, "t_mul": 2.0, "m_mul": 0.5, "alpha": 0.3}
    assert compound_lr_scheduler({**config, "base_learning_rate": 1.0}) == compound_lr_scheduler(config)
    with pytest.raises(
        TypeError, match=r"got 'base_learning_rate': it is a number of constant, which the factors lack"
    ):
        compound_lr_scheduler({**config, "base_learning_rate": 0.1})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"warmup_stepz": 5}, r"got 'warmup_stepz': 'warmup_steps' is read, is that meant\?"),
        ({"timescale": 100}, r"got 'timescale': it is a number of rsqrt_decay, which the factors lack"),
        ({"total_steps": 9}, r"got 'total_steps': it is a number of cosine_decay and linear_cooldown and linear_decay"),
        ({"anything": 9}, r"got 'anything'$"),
    ],
)
def test_a_number_that_no_factor_uses_is_refused_by_name(more, message):
    config = {"factors": "constant * linear_warmup", "base_learning_rate": 0.1, "warmup_steps": 5}
    assert compound_lr_scheduler(config)(5) == 0.1
    with pytest.raises(TypeError, match=r"\(config\) must hold the numbers of its factors, " + message):
        compound_lr_scheduler({**config, **more})


def test_a_config_around_the_one_of_the_schedule_is_refused():
    config = {"factors": "constant", "base_learning_rate": 0.1}
    with pytest.raises(ValueError, match=r"got only 'lr_configs': such names are under 'lr_configs', give that"):
        compound_lr_scheduler({"lr_configs": config})
    with pytest.raises(ValueError, match=r"must hold names of factors under \"factors\", got nothing"):
        compound_lr_scheduler({})
    with pytest.raises(ValueError, match=r"\['learning_rate_schedule'\] must be 'compound'"):
        compound_lr_scheduler({**config, "learning_rate_schedule": "other"})


def test_a_piecewise_line_meets_its_factors():
    s = compound_lr_scheduler(used({**CONFIG, "factors": "piecewise_linear"}))
    assert_agrees(s, [1 - 0.05 * t for t in range(10)])
    assert (s(10), s(25), s(60)) == (0.5, 0.1, 0.1)
    s = compound_lr_scheduler({"factors": "piecewise_linear", "decay_events": [0, 4], "decay_factors": [0.5, 0.1]})
    assert_agrees(s, [1.0, 0.4, 0.3, 0.2, 0.1, 0.1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compound_lr_scheduler({"factors": "no"}), r'config\["factors"\]\) must be made of'),
        (lambda: compound_lr_scheduler({"factors": "constant"}), r'"base_learning_rate"\]\) must be given'),
        (
            lambda: compound_lr_scheduler({"factors": "linear_decay", "total_steps": 5, "warmup_steps": 5}),
            r'"total_steps"\]\) must be > warmup_steps=5',
        ),
        (
            lambda: compound_lr_scheduler(
                {"factors": "linear_cooldown", "total_steps": 5, "warmup_steps": 6, "cooldown_steps": 2}
            ),
            r'"total_steps"\]\) must be >= warmup_steps=6',
        ),
        (lambda: create_learning_rate_schedule(10, warmup_steps=10), r"warmup_steps=...\) must be < 10, got 10"),
        (lambda: create_learning_rate_schedule(10, decay_type="no"), r"decay_type=...\) must be one of"),
        (
            lambda: create_learning_rate_schedule(10, warmup_steps=1, warmup_percent=0.1),
            r"\(warmup_...\) must be given in one unit",
        ),
        (
            lambda: create_learning_rate_schedule(10, warmup_percent=1.5),
            r"warmup_percent=...\) must be .* <= 1, got 1.5",
        ),
        (
            lambda: create_learning_rate_schedule(10, decay_type="linear", end=0.1, linear_end=0.2),
            r"linear_end=...\) must be left out if end is given, got 0.2",
        ),
        (
            lambda: create_learning_rate_schedule(10, decay_type="rsqrt", timescale_percent=0),
            r"timescale_steps=...\) must be > 0, got 0",
        ),
        (
            lambda: create_learning_rate_schedule(10, warmup_epochs=1),
            r"batch_size=...\) must be given for warmup_epochs",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"warmup_stepz": 5}, r"unexpected argument 'warmup_stepz': 'warmup_steps' is one, is that meant\?"),
        ({"warmup_steps": "5"}, r"warmup_steps=...\) must be a finite number or None, got '5'"),
        ({"warmup_steps": True}, r"warmup_steps=...\) must be a finite number or None, got True"),
    ],
)
def test_durations_are_checked(more, message):
    with pytest.raises(TypeError, match=message):
        create_learning_rate_schedule(10, **more)
