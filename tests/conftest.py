"""What all tests share: Hypothesis profiles and a quiet environment on the CPU."""

import contextlib
import importlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.internal.conjecture import providers

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

# Hypothesis draws a number now and then that stands in a module which happens to be loaded, if the path of the checkout
# pleases it: a seed, or a fixed one, would not mean the same draws in another folder, nor after another test.
providers._get_local_constants = lambda: providers.Constants()

# How many draws a test makes that does not say it, and how many it makes under `make explore`.
FAST, EXPLORED = 40, int(os.environ.get("EXAMPLES") or 1000)
# `fast` draws the same for everybody; the others draw afresh, or from `--hypothesis-seed`, and remember what failed.
settings.register_profile(
    "fast",
    max_examples=FAST,
    deadline=None,  # the first call of a traced function compiles
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
remembered = DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "examples")
fresh = settings(settings.get_profile("fast"), derandomize=False, database=remembered)
settings.register_profile("thorough", fresh, max_examples=300)
settings.register_profile("explore", fresh, max_examples=EXPLORED)
settings.load_profile("fast")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let `explore` draw as many times more in the tests that fix their number too."""
    if settings.get_current_profile_name() != "explore":
        return
    functions = {getattr(item, "function", None) for item in items}
    for test in filter(is_hypothesis_test, functions):
        own = test._hypothesis_internal_use_settings
        if own.max_examples != EXPLORED:
            more = max(1, own.max_examples * EXPLORED // FAST)
            test._hypothesis_internal_use_settings = settings(own, max_examples=more)
