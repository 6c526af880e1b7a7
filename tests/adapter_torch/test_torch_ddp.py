"""`RuleOptimizer` under `DistributedDataParallel`: what one process computes on the whole batch, flat or not.

Two processes do all the work once; the tests read what they report.
"""

import contextlib
import itertools

import pytest
import torch
import torch.distributed as dist
from processes import gathered

from lrsched import Cosine, rules
from lrsched_torch import RuleOptimizer

pytestmark = [
    pytest.mark.skipif(not dist.is_available(), reason="torch is built without torch.distributed"),
    pytest.mark.slow,  # in every run `test_torch_sharded.py` trains in two processes
]

S = Cosine(0.05, 0.0, steps=12)
PROCESSES = 2
RULE = rules.ClipByGlobalNorm(0.05) >> rules.lamb(weight_decay=0.1)
DTYPES = {"float32": (torch.float32, 1e-6), "float64": (torch.float64, 1e-12)}
FORMS = {
    "list": {},
    "flat": {"flat": True},
    "list compiled": {"compile": True},
    "flat compiled": {"flat": True, "compile": True},
}
RESETS = {"zeros or None": {}, "None": {"set_to_none": True}}
# How the model is wrapped, and how a step is done.
WRAPPED = {
    "copies": {},
    "views": {"gradient_as_bucket_view": True},
    "static": {"static_graph": True},
    "static views": {"static_graph": True, "gradient_as_bucket_view": True},
}
WAYS = ("whole", "accumulated", "wrapped late")
CASES = list(itertools.product(FORMS, WRAPPED, RESETS, WAYS))
RESUMED = list(itertools.product(WRAPPED, [False, True]))


def network(dtype):
    torch.manual_seed(0)
    layers = [torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)]
    return torch.nn.Sequential(*layers).to(dtype)


def batch(t, dtype):
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(t), dtype=torch.float64).to(dtype)


def backward(model, x):
    (model(x).sum(dim=1) - x[:, 0]).square().mean().backward()


def train(model, optimizer, steps, dtype, *, rank=None, accumulate=False, reset=None):
    """Train on whole batches, or on the half of one process, at once or in two parts."""
    for t in steps:
        x = batch(t, dtype)
        own = x if rank is None else x[4 * rank : 4 * rank + 4]
        optimizer.zero_grad(**(reset or {}))
        if accumulate and t:  # a static graph is learned in the first backward pass, which must not be without a sum
            with model.no_sync() if rank is not None else contextlib.nullcontext():
                backward(model, own[:2])
            own = own[2:]
        backward(model, own)
        optimizer.step()


def trained_alone(dtype, steps=4, *, accumulated=False):
    model = network(dtype)
    optimizer = RuleOptimizer(model.parameters(), RULE, lr=S)
    for t in range(steps):
        optimizer.zero_grad()
        # The mean of two halves is half of what is accumulated, and so is the mean of two processes.
        for part in batch(t, dtype).split(4 if accumulated and t else 8):
            backward(model, part)
        optimizer.step()
    return [p.detach() for p in model.parameters()]


def trained(rank, dtype, form, wrapped, reset, way):
    model = network(dtype)
    parallel = torch.nn.parallel.DistributedDataParallel
    # So small that each bucket holds a tensor or two, and that they are arranged anew after the first step.
    options = {"bucket_cap_mb": 1e-5, **WRAPPED[wrapped]}
    if way != "wrapped late":
        model = parallel(model, **options)
    optimizer = RuleOptimizer(model.parameters(), RULE, lr=S, **FORMS[form])
    if way == "wrapped late":
        model = parallel(model, **options)
    train(model, optimizer, range(4), dtype, rank=rank, accumulate=way == "accumulated", reset=RESETS[reset])
    return model, optimizer


def work(rank, folder):
    found = {}
    for name, (dtype, _) in DTYPES.items():
        for case in CASES:
            model, _ = trained(rank, dtype, *case)
            found[name, *case] = [p.detach().clone() for p in model.parameters()]
    for wrapped, compiled in RESUMED:
        form = "flat compiled" if compiled else "flat"
        model, optimizer = trained(rank, torch.float64, form, wrapped, "zeros or None", "whole")
        twin = network(torch.float64)
        twin.load_state_dict(model.module.state_dict())
        twin = torch.nn.parallel.DistributedDataParallel(twin)
        resumed = RuleOptimizer(twin.parameters(), RULE, lr=S)
        resumed.load_state_dict(optimizer.state_dict())
        train(twin, resumed, range(4, 8), torch.float64, rank=rank)
        found["resumed", wrapped, compiled] = [p.detach().clone() for p in twin.parameters()]
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each process found."""
    path = tmp_path_factory.mktemp("ddp")
    return gathered(work, path, PROCESSES)


def assert_equal(every, expected, tolerance):
    """Compare relative to the largest element, and processes with each other bit for bit."""
    first, *others = every
    assert all(torch.equal(p, q) for other in others for p, q in zip(first, other, strict=True))
    scale = max(q.abs().max().item() for q in expected)
    assert max((p - q).abs().max().item() for p, q in zip(first, expected, strict=True)) < tolerance * scale


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("form", FORMS)
def test_two_processes_train_as_one(found, form, wrapped, way, name):
    dtype, tolerance = DTYPES[name]
    expected = trained_alone(dtype, accumulated=way == "accumulated")
    for reset in RESETS:
        assert_equal([one[name, form, wrapped, reset, way] for one in found], expected, tolerance)


@pytest.mark.parametrize(("wrapped", "compiled"), RESUMED)
def test_a_checkpoint_of_the_flat_form_goes_on_in_the_list_form(found, wrapped, compiled):
    assert_equal([one["resumed", wrapped, compiled] for one in found], trained_alone(torch.float64, 8), 1e-12)
