"""compat.pytorch_warmup gives the rates that pytorch_warmup's dampening leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees

from lrsched import Cosine
from lrsched.compat import pytorch_warmup

torch = pytest.importorskip("torch")

live = pytest.importorskip("pytorch_warmup")


def theirs(name, *arguments, beta2=0.999):
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.3, betas=(0.9, beta2))
    main = torch.optim.lr_scheduler.LambdaLR(optimizer, Cosine(1.0, 0.1, 40))
    warmup = getattr(live, name)(optimizer, *arguments)
    found = [optimizer.param_groups[0]["lr"]]
    for _ in range(50):
        optimizer.step()
        with warmup.dampening():
            main.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("name", ["LinearWarmup", "ExponentialWarmup"])
@given(period=st.integers(1, 60))
def test_a_dampened_schedule_is_that_of_pytorch_warmup(name, period):
    assert_agrees(getattr(pytorch_warmup, name)(Cosine(0.3, 0.03, 40), period), theirs(name, period))


@pytest.mark.parametrize("name", ["UntunedLinearWarmup", "UntunedExponentialWarmup"])
@given(beta2=st.sampled_from([0.999, 0.99, 0.95, 0.9, 0.5]))
def test_the_untuned_length_is_that_of_pytorch_warmup(name, beta2):
    ours = getattr(pytorch_warmup, name)(Cosine(0.3, 0.03, 40), beta2)
    assert_agrees(ours, theirs(name, beta2=beta2))


@given(beta2=st.sampled_from([0.999, 0.99, 0.95, 0.9, 0.7]))
def test_the_rectification_is_that_of_pytorch_warmup(beta2):
    ours = pytorch_warmup.RAdamWarmup(Cosine(0.3, 0.03, 40), beta2)
    assert_agrees(ours, theirs("RAdamWarmup", beta2=beta2), rtol=1e-9)


def test_the_quotient_is_rounded_down():
    # 2 / (1 - 0.999) is 1999.9999999999982 in floating point
    assert pytorch_warmup.UntunedLinearWarmup(1.0, 0.999) == pytorch_warmup.LinearWarmup(1.0, 1999)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pytorch_warmup.LinearWarmup(0.1, 0), r"warmup_period=...\) must be an int >= 1"),
        (lambda: pytorch_warmup.UntunedLinearWarmup(0.1, 1.0), r"beta2=...\) must be .* < 1"),
    ],
)
def test_what_pytorch_warmup_refuses_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
