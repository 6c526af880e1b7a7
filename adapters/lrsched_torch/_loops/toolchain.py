"""Which C++ compiler there is, and how it is called; each choice a function of the platform, so that all can be tested.

Tried on Linux with g++ and clang++ only. On macOS clang++ needs a runtime of OpenMP, which PyTorch brings, and its
header (`brew install libomp`); on Windows `cl` is looked for as well, which must be called from a prompt that knows it.
"""

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

# NaN and infinity keep their meaning, and each operation rounds as in torch.
UNIX = ("-std=c++17", "-O3", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off")
WINDOWS = ("/nologo", "/utf-8", "/std:c++17", "/O2", "/LD", "/EHsc", "/fp:precise")
NAMES = {"Windows": ("cl", "g++", "clang++")}
SUFFIXES = {"Windows": ".dll", "Darwin": ".dylib"}
# Where Homebrew leaves the header of OpenMP, on either processor.
HOMEBREW = ("/opt/homebrew/opt/libomp/include", "/usr/local/opt/libomp/include")
_RUNTIME = re.compile(r"lib(gomp|i?omp5?)\b[\w.-]*")


class Attempt(NamedTuple):
    """Which optional flags are used."""

    openmp: bool
    native: bool


def attempts(*, openmp: bool) -> tuple[Attempt, ...]:
    """Return what to try in turn; without OpenMP last, if the source uses it."""
    each = (Attempt(True, True), Attempt(True, False), Attempt(False, True), Attempt(False, False))
    return tuple(attempt for attempt in each if openmp or not attempt.openmp)


def compiler(
    cxx: str | None = None, system: str = "", which: Callable[[str], str | None] = shutil.which
) -> tuple[str, ...] | None:
    """Return the program and the first arguments of the C++ compiler, or None without one.

    It is that of $CXX, which may have arguments, if there is such a program; else the first of the usual ones. Nothing
    is started, so it may be asked often.

    Args:
        cxx: instead of that variable.
        system: that of `platform.system`, by default this one.
        which: finds a program.
    """
    told = os.environ.get("CXX", "") if cxx is None else cxx
    windows = (system or _system()) == "Windows"
    try:
        # Where a backslash stands in paths, quotes stay.
        split = [x.strip('"') for x in shlex.split(told, posix=False)] if windows else shlex.split(told)
    except ValueError:  # a quote that does not end
        split = []
    named = [[told], split, *([name] for name in NAMES.get(system or _system(), ("g++", "clang++")))]
    for first, *rest in filter(None, named):
        if first.strip() and (found := which(first)):
            return found, *rest
    return None


def _system() -> str:
    return "Windows" if os.name == "nt" else os.uname().sysname


def family_of(version: str) -> str:
    """Return whose flags a compiler takes, from what it says of itself."""
    if "Microsoft" in version:
        return "msvc"
    return "clang" if "clang" in version else "gcc"


def native_flag(machine: str) -> str | None:
    """Return what makes gcc and clang write for the very processor, if it is one of those that have it."""
    if machine.lower() in ("arm64", "aarch64", "ppc64le"):
        return "-mcpu=native"
    return "-march=native" if re.fullmatch(r"x86_64|amd64|i\d86|s390x", machine.lower()) else None


def runtime_of(loaded: Iterable[str], folder: Path) -> Path | None:
    """Return the runtime of OpenMP that PyTorch has loaded, as a second one would have threads of its own, or abort.

    Args:
        loaded: the files that this process has mapped.
        folder: that of PyTorch's own libraries.
    """
    found = [
        Path(path) for path in (*loaded, *map(str, sorted(folder.glob("lib*omp*")))) if _RUNTIME.match(Path(path).name)
    ]
    return min(found, key=lambda path: folder not in path.parents, default=None)


def flags_of(
    attempt: Attempt, system: str, machine: str, family: str, runtime: Path | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the flags that stand before and behind the source.

    Args:
        attempt: which optional ones are wanted.
        system: that of `platform.system`.
        machine: that of `platform.machine`.
        family: that of the compiler.
        runtime: what to link for OpenMP.
    """
    if family == "msvc":
        return (*WINDOWS, *(["/openmp:experimental"] if attempt.openmp else [])), ()
    native = native_flag(machine) if attempt.native else None
    simd = ["-fopenmp-simd"] if attempt.native and not attempt.openmp else []  # without a runtime
    before = [*UNIX, *([native] if native else []), *simd]
    if system == "Windows":
        before.remove("-fPIC")
        before.append("-static")  # Python looks for no library on the PATH, where the runtimes of MinGW lie
    if not attempt.openmp:
        return tuple(before), ()
    if system == "Darwin":
        before += ["-Xpreprocessor", "-fopenmp", *(f"-I{path}" for path in HOMEBREW)]
        return tuple(before), ((str(runtime), f"-Wl,-rpath,{runtime.parent}") if runtime else ("-lomp",))
    before.append("-fopenmp")
    # The library that `-fopenmp` adds is only linked if this one has not all that is needed.
    if runtime is None or (family == "gcc" and runtime.name == "libgomp.so.1") or system == "Windows":
        return tuple(before), ()
    return tuple(before), ("-Wl,--as-needed", str(runtime), f"-Wl,-rpath,{runtime.parent}")


def command_of(
    program: tuple[str, ...], family: str, flags: tuple[tuple[str, ...], tuple[str, ...]], text: Path, library: Path
) -> list[str]:
    """Return what builds a library from a text."""
    before, behind = flags
    if family == "msvc":
        return [*program, *before, str(text), f"/Fe:{library}", f"/Fo:{library.with_suffix('.obj')}", *behind]
    return [*program, *before, str(text), "-o", str(library), *behind]
