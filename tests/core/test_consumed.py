"""Clocks of tokens and samples against plain integers and Megatron's calculator of batch sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrsched as ls
from lrsched import Budget, Constant, Consumed, Cosine, Linear, Warmup, batch_ramp

TOKENS = Warmup(375 * 10**6) >> Cosine(3e-4, 3e-5, steps=10**13)
GPT3 = 2048 * batch_ramp(32, 1536, samples=6_000_000, increment=32)


def megatron_sizes(start, end, samples, increment, updates):
    """Return the batch size of each update as RampupBatchsizeNumMicroBatchesCalculator.update finds it."""
    stairs = (end - start) // increment
    consumed, sizes = 0, []
    for _ in range(updates):
        ended = stairs == 0 or consumed > samples
        size = end if ended else start + int(consumed / (samples / stairs)) * increment
        sizes.append(size)
        consumed += size
    return sizes


@given(st.integers(1, 300), st.integers(1, 200), st.integers(0, 40), st.integers(1, 10**6), st.integers(1, 3))
def test_a_batch_ramp_is_that_of_megatron(start, increment, stairs, samples, multiple):
    samples = samples if multiple < 3 else (samples % 5_000 + 1) * max(stairs, 1)  # boundaries that are met exactly
    end = start + stairs * increment
    sizes = batch_ramp(start, end, samples, increment)(np.arange(400))
    assert sizes.tolist() == megatron_sizes(start, end, samples, increment, 400)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((32, 16, 100, 8), r"batch_ramp\(end=...\) must be 32 and 0 to 10000 increments of 8, got 16"),
        ((32, 65, 100, 8), r"increments of 8, got 65"),
        ((1, 20_000, 100, 1), "0 to 10000 increments"),
    ],
)
def test_a_ramp_of_other_than_whole_stairs_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        batch_ramp(*arguments)


PER_STEP = [
    4_000_000,
    GPT3,
    Linear(65_000.0, 3_200_000.0, steps=700),
    ls.Table((3.0, 1.0, 2.4)),
    ls.Epochs(ls.Table((10.0, 20.0)), 50) * 1000,
    ls.Minimum((Constant(5e6, 30) >> Constant(1e6), Constant(2e6))),
    ls.Hold(ls.PowerLaw(1e6, timescale=10), 40),
]


@pytest.mark.parametrize("per_step", PER_STEP, ids=repr)
def test_update_t_uses_the_rate_at_what_the_updates_before_it_have_taken(per_step):
    schedule = Consumed(Linear(1.0, 0.5, steps=10**9) >> Cosine(0.5, 0.0, 10**13), per_step)
    count, counts = 0, []
    for t in range(1_000):
        counts.append(count)
        count += per_step if isinstance(per_step, int) else round(per_step(t))
    wanted = [schedule.schedule(n) for n in counts]
    assert [schedule(t) for t in range(1_000)] == wanted  # in the interpreter, then compiled
    np.testing.assert_allclose(schedule(np.arange(1_000)), wanted, rtol=1e-13)
    np.testing.assert_allclose(schedule(np.arange(1_000.0)), wanted, rtol=1e-13)
    assert ls.parse(repr(schedule)) == schedule == ls.from_config(ls.to_config(schedule))


def test_a_run_of_ten_trillion_tokens_ends_at_the_exact_update():
    schedule = Consumed(TOKENS, GPT3)
    # the ramp: 6,000,000 samples and a little more; the rest in updates of 1536 * 2048
    ramp = [*GPT3._flat([GPT3])[1].parts[:-1]]
    taken = 2048 * sum(round(part.value) * part.steps for part in ramp)
    rest = -(-(TOKENS.length - taken) // (1536 * 2048))
    assert schedule.length == sum(part.steps for part in ramp) + rest
    assert schedule(schedule.length) == 3e-5 < schedule(schedule.length - 1)
    assert schedule(2**63 - 1) == 3e-5
    assert Budget(steps=schedule.length, tokens_per_step=GPT3)("10_000_375Mtok") in range(rest, schedule.length + 1)


FEW = 2048 * batch_ramp(32, 1536, samples=6_000_000, increment=376)


@pytest.mark.parametrize("per_step", [FEW, Linear(65_000.0, 3_200_000.0, steps=700)], ids=["few", "many"])
def test_tracers_count_as_numbers_do(per_step):
    jax = pytest.importorskip("jax")
    torch = pytest.importorskip("torch")
    schedule = Consumed(TOKENS, per_step)
    steps = np.unique(np.concatenate([np.arange(800), np.linspace(0, schedule.length + 10, 200).astype(np.int64)]))
    wanted = np.array([schedule(int(t)) for t in steps])
    np.testing.assert_allclose(jax.jit(schedule)(steps), wanted, rtol=2e-6)
    np.testing.assert_allclose(schedule(jax.numpy.asarray(steps, dtype=np.float32)), wanted, rtol=2e-6)
    np.testing.assert_allclose(schedule(torch.tensor(steps)), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("per_step", "message"),
    [
        (0, "must be an int >= 1"),
        (Constant(0.4), r"must be at every step an int >= 1 and <= 2\*\*53, got 0 in Constant\(0.4\)"),
        (Linear(10.0, 0.0, 5), "must be at every step an int >= 1"),
        (ls.PowerLaw(1e6), "must end, or hold its values for long"),
        (Linear(1.0, 2.0, steps=2**21), "must change at most 1048576 times"),
        (Warmup(5), "a height is missing"),
        ("4M", "must be an int >= 1"),
    ],
)
def test_what_an_update_takes_is_a_whole_number_that_stops_changing(per_step, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Consumed(TOKENS, per_step)


def test_lengths_in_tokens_follow_a_ramp():
    budget = Budget(steps=10_000, tokens_per_step=Constant(1e6, 1_000) >> Constant(4e6))
    # 1,000 updates take 1e9 tokens, each 4e6 more another update
    assert [budget(text) for text in ("0.5Btok", "1Btok", "5Btok")] == [500, 1_000, 2_000]
    template = ls.parse("Warmup(1Btok) >> Constant(1, 4Btok) >> Cooldown(20%)")
    assert template.build(budget) == Warmup(1_000) >> Constant(1, 1_000) >> ls.Cooldown(2_000)
    inside = ls.parse("Consumed(Warmup(375Mtok) >> Cosine(3e-4, 0, 100%), per_step=4M)")
    assert inside.build(Budget(steps=1_000)) == Consumed(Warmup(375 * 10**6) >> Cosine(3e-4, 0, 4 * 10**9), 4_000_000)
