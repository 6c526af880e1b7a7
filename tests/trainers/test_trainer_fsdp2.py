"""What docs/trainers.md says of "FSDP2 and distributed checkpoints": on the CPU, by gloo, in one and two processes."""

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


def halves(folder, first, second):
    """Return rates and weights of a training whose two halves have so many processes."""
    found = started("fsdp2_worker.py", first, folder, str(folder / "kept"), "no")
    again = started("fsdp2_worker.py", second, folder, str(folder / "kept"), "yes")
    for (used, _), (more, _) in ((one, other) for one in found for other in again):
        follows(OWN, used, more)
    return np.concatenate([np.array(part) for part in again[0][1]])


def test_rates_and_weights_are_the_same_however_many_processes_save_and_resume(tmp_path):
    folders = [tmp_path / name for name in ("ones", "same", "fewer")]
    for folder in folders:
        folder.mkdir()
    one = halves(folders[0], 1, 1)
    np.testing.assert_allclose(halves(folders[1], 2, 2), one, rtol=1e-9)
    np.testing.assert_allclose(halves(folders[2], 2, 1), one, rtol=1e-9)
