"""`import lrsched` in a fresh interpreter, compiled before, less what `import numpy` alone takes."""

import os
import subprocess
import sys

from benchmarks._rows import Row, interleaved

TARGET_MS = 100.0


def _fresh(module: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=environment)


def rows() -> list[Row]:
    """Return one row: the difference of the medians of ten interpreters each."""
    _fresh("lrsched")
    ours, peer = interleaved(lambda: _fresh("lrsched"), lambda: _fresh("numpy"), rounds=10)
    return [Row("import lrsched", "import numpy", ours, peer, TARGET_MS, unit="ms")]
