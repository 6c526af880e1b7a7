"""compat.hyperbolic_lr against the formula of its file, which is not packaged, in the order of its training loop."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from oracles import assert_agrees

from lrsched.compat.hyperbolic_lr import HyperbolicLR


@given(st.integers(1, 60), st.integers(0, 100), st.integers(0, 59), st.sampled_from([0.0, 1e-6, 0.01, 0.49]))
@example(steps=1, more=0, warmup=0, low=0.0)
def test_the_hyperbola(steps, more, warmup, low):
    """HyperbolicLR at cefcb8f (2026-02-07), hyperbolic_lr.py; paper/util.py trains an epoch, then steps."""
    warmup %= steps
    upper, n = steps + more, steps - warmup

    def formula(x):
        if x <= warmup and warmup > 0:
            return low + (0.5 - low) * x / warmup
        x -= warmup
        first = math.sqrt(n / upper * (2 - n / upper))
        return 0.5 + (0.5 - low) * (math.sqrt((n - x) / upper * (2 - (n + x) / upper)) - first)

    rates = [0.5, *(formula(x) for x in range(1, steps + 1))]  # the constructor leaves the optimizer's rate
    # Where the curve ends near 0 the formula cancels.
    assert max(abs(a - HyperbolicLR(0.5, upper, steps, low, warmup)(t)) for t, a in enumerate(rates)) < 1e-15
    assert_agrees(HyperbolicLR(0.5, upper, steps, low, warmup), rates, rtol=1e-9 if low < 0.01 else 1e-12)


def test_the_first_epoch_has_the_rate_of_the_optimizer():
    # a line from 0.25 to 1 in three epochs: 0.5, 0.75, 1 after the first
    s = HyperbolicLR(1.0, 20, 10, 0.25, warmup_epochs=3)
    assert [s(t) for t in range(4)] == [1.0, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HyperbolicLR(1.0, 99, 100), r"upper_bound=...\) must be >= max_iter=100, got 99"),
        (lambda: HyperbolicLR(0.1, 99, 9, 0.1), r"infimum_lr=...\) must be < lr=0.1, got 0.1"),
        (lambda: HyperbolicLR(0.1, 99, 9, warmup_epochs=9), r"warmup_epochs=...\) must be < max_iter=9, got 9"),
        (lambda: HyperbolicLR(0.0), r"lr=...\) must be a finite number > 0"),
    ],
)
def test_what_the_library_refuses_or_cannot_do_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
