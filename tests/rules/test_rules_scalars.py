"""What rules compute of the step alone, against exact values: in float64 for numbers, in float32 for tensors."""

import numpy as np
import pytest

mpmath = pytest.importorskip("mpmath")
torch = pytest.importorskip("torch")

from lrsched import rules  # noqa: E402
from lrsched.rules._library.moments import product_series, warmed_direction  # noqa: E402
from lrsched.rules._library.nadam import _length  # noqa: E402


def number(t: int) -> rules.Context:
    return rules.Context.of_list(rules.ops_of(np.ones(1)), [1], 0.1, t - 1)  # type: ignore[arg-type]


def tensor(t: int) -> rules.Context:
    step = torch.tensor(float(t - 1), dtype=torch.float32)
    return rules.Context.of_list(rules.ops_of(step), [1], 0.1, step)  # type: ignore[arg-type]


@pytest.mark.parametrize("b1", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("decay", [1e-12, 4e-3, 1.0, 5.0])
def test_the_momentum_of_nadam_is_a_function_of_the_step(b1: float, decay: float):
    slope = float(np.log(0.96)) * decay
    series = product_series(slope)
    with mpmath.workdps(40):
        q, product = mpmath.exp(mpmath.mpf(slope)), mpmath.mpf(1)
        for t in range(1, 1001):
            mu, after = (mpmath.mpf(b1) * (1 - q**n / 2) for n in (t, t + 1))
            product *= mu
            if t not in (1, 2, 3, 10, 100, 1000):
                continue
            exact = [float(after / (1 - product * after)), float((1 - mu) / (1 - product))]
            np.testing.assert_allclose(warmed_direction(number(t), b1, slope, series), exact, rtol=1e-14)
            found = [float(x) for x in warmed_direction(tensor(t), b1, slope, series)]
            np.testing.assert_allclose(found, exact, rtol=4e-6 if decay == 5.0 else 5e-7)


@pytest.mark.parametrize("b2", [0.7, 0.9, 0.99, 0.999, 0.99999, 0.9999999])
def test_the_length_of_radam_keeps_its_digits(b2: float):
    # In float32 the plain formula is a difference of numbers near 2 / (1 - b2).
    with mpmath.workdps(40):
        b = mpmath.mpf(b2)
        for t in (1, 2, 5, 6, 10, 100, 1000, 10**5, 10**6):
            exact = float((1 + b) / (1 - b) - 2 * t * b**t / (1 - b**t))
            np.testing.assert_allclose(_length(number(t), b2), exact, rtol=1e-14)
            np.testing.assert_allclose(float(_length(tensor(t), b2)), exact, rtol=5e-7)


@pytest.mark.parametrize(
    "rule", [rules.RAdam(b2=0.9), rules.RAdam(b2=0.99999), rules.NAdam(), rules.NAdam(0.0)], ids=repr
)
def test_a_step_as_a_tensor_changes_nothing(rule: rules.Rule):
    p = torch.zeros(3)
    slots = other = rule.init(p)
    for t in range(12):
        g = torch.tensor([1.0, 0.0, -0.5 * t])
        found, slots = rule.delta(p, g, slots, lr=0.1, step=t)
        traced, other = rule.delta(p, g, other, lr=torch.tensor(0.1), step=torch.tensor(t))
        torch.testing.assert_close(traced, found, rtol=1e-5, atol=1e-9)
