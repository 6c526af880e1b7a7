"""Loading a state makes no second copy of it: what is loaded is shared until one of the two is written to."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lrsched import rules
from lrsched_torch import RuleOptimizer

STATUS = Path("/proc/self/status")
# Parameters, of which Adam keeps 8 bytes each. The C library never serves arrays of over 32 MB from memory that it has
# kept, which would not count.
NUMBER = 10_000_000
STATE = 8 * NUMBER


def kilobytes(entry: str) -> int:
    return int(next(line for line in STATUS.read_text().splitlines() if line.startswith(entry)).split()[1])


def grown(act: Callable[[], object]) -> int:
    """Return by how many bytes the memory of this process was larger than now while it did something."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here
    except OSError:
        pytest.skip("this system does not tell the peak of a process")
    before = kilobytes("VmRSS")
    held = act()
    peak = kilobytes("VmHWM")
    del held
    return (peak - before) * 1024


def trained(**options: bool) -> RuleOptimizer:
    p = torch.nn.Parameter(torch.ones(NUMBER))
    p.grad = torch.ones(NUMBER)
    made = RuleOptimizer([p], rules.Adam(), lr=0.1, **options)
    made.step()
    return made


def test_a_load_makes_no_second_copy():
    saved = trained(compile=False).state_dict()
    new = RuleOptimizer([torch.nn.Parameter(torch.ones(NUMBER))], rules.Adam(), lr=0.1, compile=False)
    assert grown(lambda: new.load_state_dict(saved)) < STATE / 4


def test_a_second_copy_is_seen():
    saved = trained(compile=False).state_dict()
    assert grown(lambda: copy.deepcopy(saved)) > STATE / 2
