"""`import lrsched` in a fresh interpreter, less what `import numpy` alone takes."""

import subprocess
import sys

from benchmarks._rows import Row, interleaved

TARGET_MS = 100.0


def _fresh(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def rows() -> list[Row]:
    """Return one row: the difference of the medians of ten interpreters each."""
    ours, peer = interleaved(lambda: _fresh("lrsched"), lambda: _fresh("numpy"), rounds=10)
    return [Row("import lrsched", "import numpy", ours, peer, TARGET_MS, unit="ms")]
