"""Builds C++ into a library of this process, and keeps it on the disk for the next ones.

A text enters from `cpp.py` or `unmoved.py`; its name on the disk is a hash of all that the machine code depends on, so
what was built before for the same processor is loaded at once.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from lrsched_torch._shared.compiling import CannotCompile

# NaN and infinity keep their meaning, and each operation rounds as in torch.
FLAGS = (
    "-std=c++17", "-O3", "-fopenmp", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off",
)  # fmt: skip


class CannotBuild(CannotCompile):
    """There is no compiler that builds what is asked for."""


@lru_cache(maxsize=1)
def compiler() -> str | None:
    """Return the C++ compiler: that of the environment variable CXX, else g++, else clang++; None without one."""
    names = [os.environ.get("CXX"), "g++", "clang++"]
    return next((found for name in names if name and (found := shutil.which(name))), None)


@lru_cache(maxsize=1)
def _machine() -> tuple[str, ...]:
    """Return what a library depends on beside its source: the compiler and the processor."""
    named = compiler()
    assert named is not None  # who builds has asked
    version = subprocess.run([named, "--version"], capture_output=True, text=True, check=False).stdout
    flags = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            flags = next((line for line in file if line.startswith(("flags", "Features"))), "")
    return named, version, platform.machine(), flags, *FLAGS


def folder() -> Path:
    """Return where libraries are kept: beside those of Inductor if that has a place, else in the user's cache."""
    told = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    base = Path(told) if told else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "lrsched"


def build(source: str, load: type[ctypes.CDLL] = ctypes.CDLL) -> ctypes.CDLL:
    """Return the library that a source becomes.

    Args:
        source: the text.
        load: `ctypes.PyDLL` for functions that call Python.

    Raises:
        CannotBuild: there is no compiler, it fails, or what it builds cannot be loaded.
    """
    named = compiler()
    if named is None:
        raise CannotBuild("no C++ compiler: none of $CXX, g++ and clang++ is on the PATH")
    key = hashlib.sha256("\0".join((source, *_machine())).encode()).hexdigest()[:32]
    try:
        path = _place(folder(), key)
    except OSError:  # a home that nobody may write to
        path = _place(Path(tempfile.mkdtemp(prefix="lrsched-")), key)
    try:
        if not path.exists():
            _compile(named, source, path)
        return load(str(path))
    except OSError as error:
        raise CannotBuild(f"{named} has built what cannot be loaded: {error}") from error


def _place(base: Path, key: str) -> Path:
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    # What others may write there, this process must not load.
    foreign = hasattr(os, "getuid") and (base.stat().st_uid != os.getuid() or base.stat().st_mode & 0o022)
    if foreign or not os.access(base, os.W_OK):
        raise PermissionError(base)
    return base / f"{key}.so"


def _compile(named: str, source: str, path: Path) -> None:
    native = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    with tempfile.TemporaryDirectory(dir=path.parent) as where:
        text, library = Path(where, "rule.cpp"), Path(where, "rule.so")
        text.write_text(source)
        command = [named, *FLAGS, native, str(text), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotBuild(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        os.replace(library, path)  # at once, as other processes may build the same
