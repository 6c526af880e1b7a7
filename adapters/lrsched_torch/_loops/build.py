"""Builds C++ into a library of this process, and keeps it on the disk for the next ones.

A text enters from `cpp.py` or `unmoved.py`. Its name is a hash of itself and of the processor, with one of the compiler
behind it; what was built before is loaded at once (`shelf.py`). Else one process builds it (`toolchain.py` says how),
the others wait; another process tries whether it can be loaded, as a broken library ends who loads it.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from lrsched_torch._loops import shelf, toolchain
from lrsched_torch._loops.toolchain import compiler
from lrsched_torch._shared.compiling import CannotCompile, brief

__all__ = ["CannotBuild", "build", "compiler"]

# Seconds that a compiler may take for one text, which takes one, and to say what it is.
BUILDING, TELLING = 60.0, 20.0
HEAD = """#ifdef _WIN32
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C"
#endif
"""
# What tries a library: it must be loadable, and say what it was made of.
TRIAL = """import ctypes, sys
for name in sys.argv[2:]:
    try:
        key = ctypes.CDLL(name).lrsched_key
    except AttributeError:
        sys.exit(3)
    except OSError as error:
        why = error
        continue
    key.restype = ctypes.c_char_p
    sys.exit(0 if key().decode() == sys.argv[1] else 3)
raise why
"""


class CannotBuild(CannotCompile):
    """There is no compiler that builds what is asked for."""


class Hangs(CannotBuild):
    """There is one that does not end."""

    hangs = True


class _Process:
    """A lock for the threads of this process, and what has failed in it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.failed: dict[str, CannotBuild] = {}
        self.hangs: set[tuple[str, ...]] = set()


_here = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_here.__init__)  # type: ignore[misc]  # a new lock


def build(source: str, load: type[ctypes.CDLL] = ctypes.CDLL) -> Any:
    """Return the library that a source becomes.

    Its attribute `path` says where it lies, and `lacks` why it does without the OpenMP of its source, or None.

    Args:
        source: the text, in which EXPORT stands before what the library offers.
        load: `ctypes.PyDLL` for functions that call Python.

    Raises:
        CannotBuild: there is no compiler, it fails, or what it builds cannot be loaded.
    """
    key = hashlib.sha256("\0".join((source, platform.machine(), _processor())).encode()).hexdigest()[:32]
    text = f'{HEAD}{source}\nEXPORT const char* lrsched_key() {{ return "{key}"; }}\n'
    program, openmp, lacks = compiler(), "#pragma omp" in source, None
    with _here.lock:
        if program is None:
            found = _found(f"{key}-p", key, load) or _found(f"{key}-s", key, load)
            if found is None:
                raise CannotBuild("no C++ compiler: none of $CXX, g++ and clang++ is on the PATH")
            return found
        for attempt in toolchain.attempts(openmp=openmp):
            try:
                found = _attempt(program, attempt, text, key, load)
            except Hangs:
                raise
            except CannotBuild as error:
                lacks = lacks or error
                continue
            found.lacks = lacks if openmp and not attempt.openmp else None
            return found
    assert lacks is not None  # there is always an attempt
    raise lacks


def _attempt(program: tuple[str, ...], attempt: toolchain.Attempt, text: str, key: str, load: type[ctypes.CDLL]) -> Any:
    """Return the library that is found or built with some flags."""
    _check(program)
    version, family = _told(program)
    runtime = toolchain.runtime_of(_mapped(), Path(torch.__file__).parent / "lib") if attempt.openmp else None
    flags = toolchain.flags_of(attempt, platform.system(), platform.machine(), family, runtime)
    tool = hashlib.sha256("\0".join((*program, version, *flags[0], *flags[1])).encode()).hexdigest()[:16]
    beginning = f"{key}-{'p' if attempt.openmp else 's'}{tool}"
    if found := _found(beginning, key, load):
        return found
    if beginning in _here.failed:
        raise _here.failed[beginning]
    error: Exception = OSError("what it builds cannot be loaded from any folder that only this user can write to")
    content = None
    for place in shelf.places(make=True):
        try:
            with shelf.one_at_a_time(place, key):
                # Another process may have been faster.
                if found := _first(shelf.kept(place, beginning), key, load):
                    return found
                content = content or _compiled(program, family, flags, text, place)
                trial = functools.partial(_try, content=content, key=key)
                path = shelf.keep(place, beginning, _suffix(), content, trial)
                if found := _loaded(path, content, key, load):
                    return found
        except OSError as problem:
            error = problem
        except CannotBuild as problem:
            _here.failed[beginning] = problem
            raise
    _here.failed[beginning] = CannotBuild(brief(f"{program[0]}: {error}"))
    raise _here.failed[beginning] from error


def _suffix() -> str:
    return toolchain.SUFFIXES.get(platform.system(), ".so")


def _found(beginning: str, key: str, load: type[ctypes.CDLL]) -> Any:
    """Return a library that lies on the disk, or None."""
    return _first((each for place in shelf.places() for each in shelf.kept(place, beginning)), key, load)


def _first(kept: Iterable[tuple[Path, bytes]], key: str, load: type[ctypes.CDLL]) -> Any:
    return next(filter(None, (_loaded(path, content, key, load) for path, content in kept)), None)


def _loaded(path: Path, content: bytes, key: str, load: type[ctypes.CDLL]) -> Any:
    """Return a library if it can be loaded, as it cannot from some file systems, and is the right one; else None."""
    number = _in_memory(content)
    for name in _names(number, path):
        try:
            found: Any = load(name)
            found.lrsched_key.restype = ctypes.c_char_p
            if found.lrsched_key() == key.encode():
                found.lacks, found.path = None, path
                return found
        except (AttributeError, OSError):
            pass
    return None


def _names(number: int | None, path: Path) -> list[str]:
    """Return how to call a library, the best name first."""
    return [*([] if number is None else [f"/proc/self/fd/{number}"]), str(path)]


def _in_memory(content: bytes) -> int | None:
    """Return the number of a file that has a content and no place, or None where the system has none of these.

    It can be loaded whatever its file system would say, and nobody can change it while it is loaded. It stays open, as
    the loader knows a library by its name, which has this number.
    """
    if not (hasattr(os, "memfd_create") and os.path.exists("/proc/self/fd")):
        return None
    try:
        number = os.memfd_create("lrsched")
        with open(number, "wb", closefd=False) as file:
            file.write(content)
    except OSError:
        return None
    return number


def _compiled(
    program: tuple[str, ...], family: str, flags: tuple[tuple[str, ...], tuple[str, ...]], text: str, place: Path
) -> bytes:
    """Return the content of a library."""
    with tempfile.TemporaryDirectory(prefix="new-", dir=place, ignore_cleanup_errors=True) as where:
        source, library = Path(where, "rule.cpp"), Path(where, f"rule{_suffix()}")
        source.write_text(text, encoding="utf-8")
        status, said = _run(toolchain.command_of(program, family, flags, source, library), program, BUILDING)
        if status:
            # The first line with an error says more than the first line.
            lines = [line for line in said.splitlines() if "error" in line.lower()] or [said]
            raise CannotBuild(brief(f"{program[0]} failed with {status}: {lines[0].strip() or 'it says nothing'}"))
        if not library.is_file() or not library.stat().st_size:
            raise CannotBuild(f"{program[0]} has written nothing")
        return library.read_bytes()


def _try(path: Path, content: bytes, key: str) -> None:
    """Load a library in another process, which it may end.

    Raises:
        OSError: it cannot be loaded from there.
        CannotBuild: it ends the process or is another one.
    """
    python = sys.executable or ""
    if not Path(python).name.lower().startswith(("python", "pypy")):  # a program that has Python inside
        return
    number = _in_memory(content)
    shared = () if number is None else (number,)
    try:
        status, said = _run([python, "-I", "-S", "-c", TRIAL, key, *_names(number, path)], (python,), BUILDING, shared)
    except CannotBuild:
        if (python,) in _here.hangs:
            raise
        return
    finally:
        for each in shared:
            os.close(each)
    if status == 1:
        raise OSError(said.strip().rpartition("\n")[2])
    if status:
        raise CannotBuild("what the compiler has written is no library of the rule")


def _run(command: list[str], program: tuple[str, ...], seconds: float, shared: tuple[int, ...] = ()) -> tuple[int, str]:
    """Return the exit status of a command, and what it says."""
    group: Any = {"start_new_session": True} if os.name == "posix" else {}
    environment = {**os.environ, "LC_ALL": "C"}
    # No pipe, which would stay open as long as anything that the command has started.
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=shared,
                **group,
            )
        except (OSError, ValueError) as error:
            raise CannotBuild(brief(f"{program[0]} cannot be started: {error}")) from error
        try:
            process.wait(seconds)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                _here.hangs.add(program)
                raise Hangs(f"{program[0]} has not ended after {seconds:g} seconds") from error
            raise
        said.seek(0)
        return process.returncode, said.read(2**20).decode("utf-8", "replace")


def hanging() -> Hangs | None:
    """Return an error if there is a compiler that does not end, be it to say what it is or to build one line."""
    try:
        build("EXPORT int nothing() { return 0; }")
    except Hangs as error:
        return error
    except CannotBuild:
        pass
    return None


def _check(program: tuple[str, ...]) -> None:
    if program in _here.hangs:
        raise Hangs(f"{program[0]} does not end")


@functools.lru_cache(maxsize=8)
def _told(program: tuple[str, ...]) -> tuple[str, str]:
    """Return what a compiler says of itself, and whose flags it takes."""
    _, version = _run([*program, "--version"], program, TELLING)
    return version, toolchain.family_of(version)


@functools.lru_cache(maxsize=1)
def _processor() -> str:
    """Return what machine code depends on beside the kind of machine."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        return next((line for line in file if line.startswith(("flags", "Features"))), "")
    return (_brand() if platform.system() == "Darwin" else "") or platform.processor()


def _brand() -> str:
    """Return what macOS calls the processor, of which `platform` says "arm" alone."""
    text = ctypes.create_string_buffer(256)
    size = ctypes.c_size_t(len(text))
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).sysctlbyname(b"machdep.cpu.brand_string", text, ctypes.byref(size), None, ctypes.c_size_t(0))
    return text.value.decode("utf-8", "replace")


def _mapped() -> list[str]:
    """Return the files that this process has mapped, where the system tells."""
    with contextlib.suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        return [line.split(maxsplit=5)[-1].strip() for line in file if "/" in line]
    return []
