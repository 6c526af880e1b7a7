"""Where built libraries are kept between processes, and why one that lies there may be loaded.

The name of a file says what it was made of and ends in a hash of that and of its content, so what is cut off, changed
or exchanged is not taken for a library. It is written beside its place, flushed to the disk and moved, so it is whole
or not there. A new content is a new name: no file that is loaded is ever replaced, as Windows would not allow.
"""

import atexit
import contextlib
import hashlib
import importlib
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

# How long to wait for another process that builds the same; it would build it again then, which does no harm.
PATIENCE = 150.0
_private: list[tuple[int, Path]] = []


def folder() -> Path:
    """Return where libraries should be kept: beside those of Inductor if that has a place, else in the user's cache.

    Raises:
        RuntimeError: there is no home.
    """
    told = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    # Inductor sets the variable itself once it is at work, to a folder that other machines do not see.
    if told and Path(told).name.startswith("torchinductor_") and Path(told).parent == Path(tempfile.gettempdir()):
        told = None
    base = Path(told) if told else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.path.abspath(base)) / "lrsched"


def places(*, make: bool = False) -> Iterator[Path]:
    """Yield the folders that only this user can write to, best first.

    Args:
        make: whether to make those that are not there; the last is one of this process alone, which vanishes with it.
    """
    known: list[Callable[[], Path]] = [folder, _shared]
    for where in [*known, *([_own] if make else [])]:
        with contextlib.suppress(OSError, RuntimeError):
            found = where()
            with contextlib.suppress(OSError):  # it may be there and not ours to make
                if make:
                    found.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_safe(found):
                yield found


def _shared() -> Path:
    """Return a folder for all processes of the user, beside other temporary ones."""
    return Path(tempfile.gettempdir(), f"lrsched-{os.getuid()}" if hasattr(os, "getuid") else "lrsched")


def _own() -> Path:
    """Return the folder of this process, the same at each call."""
    if not _private or _private[-1][0] != os.getpid() or not _private[-1][1].is_dir():
        _private.append((os.getpid(), Path(tempfile.mkdtemp(prefix="lrsched-"))))
    return _private[-1][1]


@atexit.register
def _clear() -> None:
    for process, path in _private:
        if process == os.getpid():  # not in a child, which may end before its parent
            shutil.rmtree(path, ignore_errors=True)


def _is_safe(place: Path) -> bool:
    """Return whether only this user can write to a folder, as what lies there runs in this process."""
    if not hasattr(os, "getuid"):
        return place.is_dir()
    told = place.stat()
    if told.st_uid in (os.getuid(), 0) and not told.st_mode & 0o022:
        return place.is_dir()
    _say_once(f"lrsched does not keep compiled rules in {place}, as others may write to it; chmod go-w may help")
    return False


@lru_cache(maxsize=64)
def _say_once(text: str) -> None:
    warnings.warn(text, stacklevel=2)


def kept(place: Path, beginning: str) -> Iterator[tuple[Path, bytes]]:
    """Yield the libraries in a folder whose names begin so and whose content is what it was, with that."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        found = sorted(x.path for x in entries if x.name.startswith(beginning) and x.is_file(follow_symlinks=False))
        for path in map(Path, found):
            with contextlib.suppress(OSError):
                content = path.read_bytes()
                if path.stem == _named(path.stem.rpartition("-")[0], content):
                    yield path, content
                else:
                    path.unlink()


def _named(beginning: str, content: bytes) -> str:
    return f"{beginning}-{hashlib.sha256(beginning.encode() + content).hexdigest()[:32]}"


def keep(place: Path, beginning: str, suffix: str, content: bytes, loads: Callable[[Path], None]) -> Path:
    """Put a library into a folder.

    Args:
        place: the folder.
        beginning: that of its name.
        suffix: its end.
        content: the library.
        loads: raises an error if the library, under another name in that folder, cannot be loaded.

    Returns:
        Where it lies.

    Raises:
        OSError: it cannot be written.
    """
    path = place / (_named(beginning, content) + suffix)
    number, name = tempfile.mkstemp(suffix=suffix, prefix="new-", dir=place)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        loads(Path(name))
        os.replace(name, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
    with contextlib.suppress(OSError, AttributeError):  # Windows opens no folders
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    return path


@contextlib.contextmanager
def one_at_a_time(place: Path, name: str) -> Iterator[None]:
    """Let one process at a time do something, among those that call it so; a lock ends with the process that holds it.

    Where the system has no such locks they all do it.

    Args:
        place: a folder.
        name: hexadecimal digits.
    """
    try:
        file: IO[bytes] | None = open(place / "lock", "ab")  # noqa: SIM115  # closed below
    except OSError:
        file = None
    with file or contextlib.nullcontext():
        end = time.monotonic() + PATIENCE
        # Each name is a byte of one file: nobody must remove anything.
        at = int(name[:7], 16)
        while file and not _lock(file, at) and time.monotonic() < end:
            time.sleep(0.05)
        try:
            yield
        finally:
            if file:
                _lock(file, at, take=False)


def _lock(file: IO[bytes], at: int, *, take: bool = True) -> bool:
    """Take a lock of a byte of a file, or give it back; return whether that was done, or none can ever be had."""
    try:
        locks: Any = importlib.import_module("msvcrt" if os.name == "nt" else "fcntl")
        if os.name == "nt":  # which gives back what a closed file has locked, but not at once
            file.seek(at)
            locks.locking(file.fileno(), locks.LK_NBLCK if take else locks.LK_UNLCK, 1)
        else:
            locks.lockf(file, locks.LOCK_EX | locks.LOCK_NB if take else locks.LOCK_UN, 1, at)
    except (BlockingIOError, PermissionError):
        return False
    except (ImportError, OSError):  # a file system without locks
        return True
    return True
