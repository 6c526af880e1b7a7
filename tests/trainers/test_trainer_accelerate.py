"""What docs/trainers.md says of accelerate, in one process and in several (gloo, on the CPU)."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from harness import follows, real
from started import started

from lrsched import LintWarning
from lrsched_torch import ScheduleLR

accelerate = real("accelerate", "accelerate")
from accelerate_worker import OWN, train_in_each_way  # noqa: E402  # of what `real` has looked at


def holds(found):
    assert len(found) == 8
    for used, codes in found.values():
        follows(OWN, used)
        assert codes == []


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_an_update_is_one_step_in_any_number_of_processes(processes, tmp_path):
    for found in started("accelerate_worker.py", processes, tmp_path):
        holds(found)


@pytest.fixture
def _three(monkeypatch):
    """What a scheduler sees of three processes: accelerate steps it three times."""
    monkeypatch.setattr("accelerate.scheduler.AcceleratorState", lambda: SimpleNamespace(num_processes=3))


@pytest.mark.usefixtures("_three")
def test_an_update_is_one_step_where_accelerate_makes_three():
    """The examples "accelerate" and "accelerate, RuleOptimizer"."""
    holds(train_in_each_way())


def prepared(**options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    accelerator = accelerate.Accelerator(cpu=True)
    return accelerator.prepare(optimizer, ScheduleLR(optimizer, OWN, **options))


@pytest.mark.usefixtures("_three")
def test_three_steps_of_an_update_are_told_once_and_at_the_line_of_the_loop():
    optimizer, scheduler = prepared()
    optimizer.step()
    with pytest.warns(LintWarning, match=r"counts-processes: .* each of 3 processes.*per_update=True") as told:
        scheduler.step()
    assert [one.filename for one in told] == [__file__]
    assert optimizer.param_groups[0]["lr"] == OWN(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        scheduler.step()


def test_one_step_of_an_update_is_not_told():
    optimizer, scheduler = prepared()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == OWN(1)
