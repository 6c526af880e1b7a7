"""What docs/trainers.md says of "FSDP2 and distributed checkpoints": on the CPU, by gloo, in one and two processes."""

import itertools
import shutil

import numpy as np
import pytest
import torch
from harness import follows
from started import started

from lrsched import Cosine, Warmup

pytestmark = [
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch is built without torch.distributed"),
    pytest.mark.slow,
]
OWN = Warmup(3) >> Cosine(0.1, 0.0, steps=9)


def test_rates_and_weights_are_the_same_however_many_processes_resume(tmp_path):
    ends = []
    found = started("fsdp2_worker.py", 2, tmp_path, str(tmp_path / "kept"), "no")
    for processes in (2, 1):
        kept = shutil.copytree(tmp_path / "kept", tmp_path / f"by_{processes}")
        again = started("fsdp2_worker.py", processes, tmp_path, str(kept), "yes")
        for (used, _), (more, _) in itertools.product(found, again):
            follows(OWN, used, more)
        ends.append(np.concatenate([np.array(part) for part in again[0][1]]))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-9)
