"""What all tests share: Hypothesis profiles and a quiet environment on the CPU."""

import contextlib
import importlib
import os
from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# Set before any framework is imported; what the caller has set stays.
QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "GRPC_VERBOSITY": "ERROR",
    "JAX_PLATFORMS": "cpu",
    "JUPYTER_PLATFORM_DIRS": "1",
    "KERAS_BACKEND": "tensorflow",
    "MPLBACKEND": "agg",
    "OMP_NUM_THREADS": "1",  # `make test` keeps each core busy with a process of its own
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
for name, content in QUIET.items():
    os.environ.setdefault(name, content)
# PyTorch imports Triton where it finds it, and after TensorFlow that ends the process: both bring an LLVM.
with contextlib.suppress(ImportError):
    importlib.import_module("triton")
# For the processes that tests start: the checkout need not be installed.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), str(ROOT / "adapters"), *filter(None, [os.environ.get("PYTHONPATH")])]
)

# No deadline: the first call of a traced function compiles.
settings.register_profile(
    "fast",
    max_examples=50,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("fast"), max_examples=300, derandomize=False)
settings.load_profile("fast")
