"""Compilers of every kind, and what lies on the disk: a library is loaded only if it is the right one and whole."""

import _ctypes
import ctypes
import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from lrsched_torch._loops import build as _build
from lrsched_torch._loops import shelf, toolchain

GXX = shutil.which("g++")
pytestmark = pytest.mark.skipif(GXX is None or os.name == "nt", reason="there is no g++")
SERIAL = "EXPORT int answer() { return 42; }\n"
PARALLEL = f"#pragma omp simd\n{SERIAL}".replace("#pragma omp simd\n", "// #pragma omp\n")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A place for libraries, another one for what is temporary, and nothing known of any compiler."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "home"))
    monkeypatch.setattr(_build.tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shelf, "_private", [])
    forget()
    yield tmp_path / "home" / "lrsched"
    forget()


def forget():
    _build._told.cache_clear(), _build._here.__init__(), shelf._say_once.cache_clear()


def answer(source=SERIAL):
    return _build.build(source).answer()


def libraries(place):
    return sorted(path for path in place.glob("*.so") if not path.name.startswith("new-"))


def litter(home):
    """What is neither a library nor the lock."""
    found = [*home.glob("*"), *(home.parents[1] / "tmp").glob("*"), *(home.parents[1] / "tmp").glob("*/*")]
    return [path for path in found if path.suffix != ".so" and path.name not in ("lock", f"lrsched-{os.getuid()}")]


@pytest.fixture
def made(home, monkeypatch):
    """A library on the disk; when it is built again it takes no time."""
    assert answer() == 42
    (path,) = libraries(home)
    content = path.read_bytes()
    built = []
    monkeypatch.setattr(_build, "_compiled", lambda *_: (built.append(1), content)[1])
    monkeypatch.setattr(_build, "_try", lambda *_, **__: None)
    return SimpleNamespace(path=path, built=built, content=content)


def test_what_is_as_it_was_is_not_built_again(made):
    assert answer() == 42
    assert not made.built


BROKEN = {
    "empty": lambda path, content: path.write_bytes(b""),
    "half": lambda path, content: path.write_bytes(content[: len(content) // 2]),
    "all but the last byte": lambda path, content: path.write_bytes(content[:-1]),
    "longer": lambda path, content: path.write_bytes(content + b"\0"),
    "zeros": lambda path, content: path.write_bytes(bytes(len(content))),
    "text": lambda path, content: path.write_text("no library"),
    "another library": lambda path, content: path.write_bytes(Path(_ctypes.__file__).read_bytes()),
    "a link": lambda path, content: (path.unlink(), path.symlink_to(GXX)),
    "a link to nothing": lambda path, content: (path.unlink(), path.symlink_to("gone")),
    "a pipe": lambda path, content: (path.unlink(), os.mkfifo(path)),
    "gone": lambda path, content: path.unlink(),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_not_as_it_was_is_built_again(made, kind):
    BROKEN[kind](made.path, made.content)
    assert answer() == 42
    assert made.built
    assert made.path.read_bytes() == made.content
    assert answer() == 42
    assert len(made.built) == 1


def test_a_library_cut_or_changed_anywhere_is_built_again(made):
    content, count = made.content, 0
    for i in range(0, len(content), len(content) // 60):
        for broken in (content[:i], content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :]):
            made.path.write_bytes(broken)
            assert answer() == 42
            count += 1
    assert len(made.built) == count > 100


def test_a_folder_in_the_place_of_a_library_leaves_another_place(made, home):
    made.path.unlink()
    made.path.mkdir()
    assert answer() == 42
    assert len(made.built) == 1
    assert answer() == 42
    assert len(made.built) == 1


def test_the_library_of_another_text_is_not_taken_under_this_name(made, home):
    beginning = made.path.stem.rpartition("-")[0]
    other = subprocess.run([GXX, "-shared", "-x", "c++", "-", "-o", home / "x"], input="int f;", text=True, check=True)
    assert other.returncode == 0
    (home / "x").rename(home / (shelf._named(beginning, (home / "x").read_bytes()) + ".so"))
    made.path.unlink()
    assert answer() == 42
    assert made.built


# Compilers. $REAL is the true one; the arguments end in `-o LIBRARY`.
SCRIPTS = {
    "refuses OpenMP": ('for a; do [ "$a" = -fopenmp ] && { echo "error: unsupported $a" >&2; exit 1; }; done', True),
    "refuses all of OpenMP": ('case "$*" in *-fopenmp*) echo "error: no $*" >&2; exit 1;; esac', True),
    "refuses the processor": ('case "$*" in *=native*) exit 1;; esac', True),
    "says nothing of itself": ('[ "$1" = --version ] && exit 3', True),
    "talks": ("head -c 3000000 /dev/zero", True),
    "leaves a child behind": ("sleep 30 &", True),
    "fails": ('echo "x.cpp:1: error: no" >&2; exit 1', False),
    "fails silently": ("exit 77", False),
    "writes no UTF-8": ("printf '\\377\\376 error: \\200\\n' >&2; exit 1", False),
    "crashes": ("kill -SEGV $$", False),
    "writes nothing": ("exit 0", False),
    "writes an empty file": (': > "$last"; exit 0', False),
    "writes text": ('echo junk > "$last"; exit 0', False),
    "writes a folder": ('mkdir -p "$last"; exit 0', False),
    "writes half": ('"$REAL" "$@"; head -c 5000 "$last" > "$last.x"; mv "$last.x" "$last"; exit 0', False),
    "writes another library": ('echo "int f;" | "$REAL" -shared -fPIC -x c++ - -o "$last"; exit 0', False),
    "writes a program": ('echo "int main(){}" | "$REAL" -x c++ - -o "$last"; exit 0', False),
    "hangs": ("sleep 30", False),
    "hangs when it builds": ('[ "$1" = --version ] || { sleep 30; }', False),
}


def script(path, text):
    beginning = 'for last; do :; done; [[ "$last" = /* ]] || last=/dev/null'  # it may be `--version`
    path.write_text(f'#!/bin/bash\n{beginning}\n{text}\nexec {GXX} "$@"\n'.replace("$REAL", GXX))
    path.chmod(0o700)
    return path


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_compiler_of_any_kind_builds_or_fails_in_one_line(home, tmp_path, monkeypatch, kind):
    text, works = SCRIPTS[kind]
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", text)))
    monkeypatch.setattr(_build, "BUILDING", 20.0 if "hangs" not in kind else 0.5)
    monkeypatch.setattr(_build, "TELLING", 5.0 if "hangs" not in kind else 0.5)
    begin = time.monotonic()
    if works:
        built = _build.build(PARALLEL)
        assert built.answer() == 42
        assert (built.lacks is not None) == ("OpenMP" in kind)
        assert len(libraries(home)) == 1
    else:
        for _ in range(2):
            with pytest.raises(_build.CannotBuild) as caught:
                _build.build(PARALLEL)
            assert 10 < len(str(caught.value)) < 300
            assert "\n" not in str(caught.value)
        assert not libraries(home)
        shelf._clear()
    assert time.monotonic() - begin < 25.0  # whoever waits for the child waits for longer
    assert not litter(home)


def test_a_compiler_that_has_failed_is_not_asked_again_for_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", f"echo >> {tmp_path}/asked; exit 1")))
    for _ in range(3):
        with pytest.raises(_build.CannotBuild, match="failed with 1"):
            _build.build(PARALLEL)
    assert len((tmp_path / "asked").read_text()) == 1 + 4  # what it is, and each set of flags


def test_a_compiler_that_vanishes_leaves_the_usual_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", 'rm -f "$0"')))
    with pytest.raises(_build.CannotBuild, match=r"cannot be started: .*No such file"):
        answer()
    assert answer() == 42


@pytest.mark.parametrize("what", ["nothing", "version", "flags", "processor", "machine"])
def test_a_library_is_built_again_for_another_compiler_or_processor(tmp_path, monkeypatch, home, what):
    text = f'if [ "$1" = --version ]; then cat {tmp_path}/version; exit; fi'
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", text)))
    (tmp_path / "version").write_text("1")
    assert answer() == 42
    forget()
    if what == "version":
        (tmp_path / "version").write_text("2")
    elif what == "flags":
        monkeypatch.setattr(toolchain, "UNIX", (*toolchain.UNIX, "-DOTHER"))
    elif what == "processor":
        monkeypatch.setattr(_build, "_processor", lambda: "another")
    elif what == "machine":
        monkeypatch.setattr(_build.platform, "machine", lambda: "x86_64" if os.uname().machine != "x86_64" else "amd64")
    assert answer() == 42
    assert len(libraries(home)) == (1 if what == "nothing" else 2)


def test_what_stops_the_user_stops_the_compiler(tmp_path, monkeypatch, home):
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", f"echo $$ > {tmp_path}/pid; sleep 30")))

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            answer()
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    monkeypatch.delenv("CXX")
    assert answer() == 42


@pytest.mark.parametrize("given", ["{} -O1", "wrapper {}", "'{}' -g0", "with space", "{}"])
def test_cxx_may_have_arguments(tmp_path, monkeypatch, given):
    script(tmp_path / "wrapper", 'exec "$@"')
    script(tmp_path / "with space", "")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CXX", given.format(GXX))
    program = toolchain.compiler()
    assert " ".join(program).endswith(given.format(GXX).replace("'", ""))
    assert answer() == 42


@pytest.mark.parametrize("given", ["", " ", "no such program", "/", "/etc/passwd", 'g++ "', "\t\n", ".", "-O1", "''"])
def test_cxx_that_names_no_program_leaves_the_usual_ones(monkeypatch, given):
    monkeypatch.setenv("CXX", given)
    assert toolchain.compiler() == (GXX,)
    monkeypatch.setenv("PATH", "")
    assert toolchain.compiler() is None


def test_without_a_compiler_what_one_has_built_before_is_found(monkeypatch, home):
    built = _build.build(PARALLEL)
    monkeypatch.setenv("PATH", "")
    assert _build.build(PARALLEL).answer() == built.answer()
    with pytest.raises(_build.CannotBuild, match="no C"):
        answer()


# Places.


def test_a_place_that_cannot_be_had_leaves_the_temporary_one(home, monkeypatch, tmp_path):
    for told in ("/proc/nowhere", "/dev/null", str(tmp_path / ("x" * 300)), "/dev/full/x"):
        forget()
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", told)
        assert answer() == 42
    assert len(libraries(tmp_path / "tmp" / f"lrsched-{os.getuid()}")) == 1


def test_the_place_stays_when_inductor_begins_to_work(monkeypatch, tmp_path):
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert shelf.folder() == tmp_path / "cache" / "lrsched"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", cache_dir())
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"].startswith(str(tmp_path / "tmp"))
    assert shelf.folder() == tmp_path / "cache" / "lrsched"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    assert shelf.folder() == tmp_path / "lrsched"


def test_a_user_without_a_home_is_served(monkeypatch, tmp_path):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(shelf.Path, "home", no_home)
    assert answer() == 42


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_place_that_others_may_write_to_is_refused_and_that_is_said_once(home, mode):
    home.mkdir(parents=True)
    home.chmod(mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert answer() == 42
        assert answer("EXPORT int answer() { return 41; }") == 41
    assert [str(home) in str(w.message) for w in caught] == [True]
    assert not list(home.iterdir())


def test_all_places_that_others_may_write_to_leave_one_of_this_process_alone(home, tmp_path):
    for place in (home, tmp_path / "tmp" / f"lrsched-{os.getuid()}"):
        place.mkdir(parents=True)
        place.chmod(0o777)
    with pytest.warns(UserWarning, match="others may write"):
        assert answer() == 42
    assert answer("EXPORT int answer() { return 41; }") == 41
    (own,) = (path for path in (tmp_path / "tmp").iterdir() if stat.S_IMODE(path.stat().st_mode) == 0o700)
    assert len(libraries(own)) == 2
    shelf._clear()
    assert not own.exists()
    assert answer() == 42


def test_a_place_of_another_user_is_refused(home, monkeypatch):
    home.mkdir(parents=True, mode=0o700)
    monkeypatch.setattr(shelf.os, "getuid", lambda: os.geteuid() + 1)
    if os.geteuid() == 0:
        os.chown(home, 12345, -1)
    with pytest.warns(UserWarning, match="others may write"):
        assert home not in list(shelf.places())


def test_a_place_from_which_nothing_can_be_loaded_leaves_the_next(home, monkeypatch, tmp_path):
    """As one that is mounted noexec."""

    def load(path):
        if str(home) in path or "/fd/" in path:
            raise OSError("failed to map segment from shared object")
        return ctypes.CDLL(path)

    def attempt(path, content, key):
        if home in path.parents:
            raise OSError("failed to map segment from shared object")

    built = []
    real = _build._compiled
    monkeypatch.setattr(_build, "_compiled", lambda *args: (built.append(1), real(*args))[1])
    monkeypatch.setattr(_build, "_try", attempt)
    assert _build.build(SERIAL, load).answer() == 42
    assert _build.build(SERIAL, load).answer() == 42
    assert len(built) == 1
    assert not libraries(home)
    assert len(libraries(tmp_path / "tmp" / f"lrsched-{os.getuid()}")) == 1
    forget()
    monkeypatch.setattr(_build, "_loaded", lambda *_: None)
    with pytest.raises(_build.CannotBuild, match="failed to map segment"):
        _build.build(SERIAL, load)


# Processes.


def children(count, work):
    """Fork, and return the exit statuses."""
    found = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = work() or 0
            finally:
                os._exit(status)
        found.append(child)
    return [os.waitpid(child, 0)[1] for child in found]


def test_of_many_processes_one_builds_and_the_others_wait(home, tmp_path, monkeypatch):
    log = f'[ "$1" = --version ] || {{ echo built >> {tmp_path}/log; sleep 0.5; }}'
    monkeypatch.setenv("CXX", str(script(tmp_path / "c++", log)))
    assert children(8, lambda: answer() - 42) == [0] * 8
    assert (tmp_path / "log").read_text() == "built\n"
    assert len(libraries(home)) == 1


def test_a_lock_does_not_outlive_its_holder(home):
    home.mkdir(parents=True)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with shelf.one_at_a_time(home, "abcdef012"):
            os.write(writer, b"x")
            time.sleep(60.0)
        os._exit(0)
    os.read(reader, 1)
    with open(home / "lock", "ab") as file:
        assert not shelf._lock(file, 0xABCDEF0)
        assert shelf._lock(file, 0xABCDEF1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert shelf._lock(file, 0xABCDEF0)


def test_a_file_system_without_locks_is_no_reason_to_wait(home, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    assert answer() == 42


FORKED = """
import os, signal, sys, torch
from lrsched import rules
from lrsched_torch import RuleOptimizer
torch.set_num_threads(4)
ps = [torch.nn.Parameter(torch.ones(9_000)) for _ in range(20)]  # PyTorch itself needs no threads for these
opt = RuleOptimizer(ps, rules.lamb(), lr=0.1, compile=True)
def steps():
    for _ in range(3):
        for p in ps:
            p.grad = torch.ones(9_000)
        opt.step()
steps()
child = os.fork()
if child == 0:
    signal.alarm(60)
    torch.set_num_threads(4)
    steps()
    os._exit(0 if opt.state[ps[0]]["step"] == 6 else 1)
print(os.waitpid(child, 0)[1])
steps()
print(opt.state[ps[0]]["step"])
"""


@pytest.mark.slow
def test_a_fork_after_use_goes_on_in_both_processes():
    environment = {**os.environ, "OMP_NUM_THREADS": "4"}
    done = subprocess.run([sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["0", "6"], done.stderr


# Other systems, as far as functions of the platform can say.


@pytest.mark.parametrize(
    ("system", "machine", "family", "present", "absent"),
    [
        ("Linux", "x86_64", "gcc", {"-fopenmp", "-march=native", "-fPIC"}, {"-Xpreprocessor"}),
        ("Linux", "aarch64", "clang", {"-fopenmp", "-mcpu=native", "-fPIC"}, {"-march=native"}),
        ("Linux", "riscv64", "gcc", {"-fopenmp"}, {"-march=native", "-mcpu=native"}),
        ("Darwin", "arm64", "clang", {"-Xpreprocessor", "-fopenmp", "-mcpu=native", "-lomp"}, {"-march=native"}),
        ("Windows", "AMD64", "msvc", {"/LD", "/openmp:experimental", "/fp:precise"}, {"-fopenmp", "-fPIC"}),
        ("Windows", "AMD64", "gcc", {"-shared", "-fopenmp", "-static"}, {"-fPIC", "/LD"}),
    ],
)
def test_each_system_has_its_flags(system, machine, family, present, absent):
    for attempt in toolchain.attempts(openmp=True):
        flags = toolchain.flags_of(attempt, system, machine, family)
        command = toolchain.command_of(("c++",), family, flags, Path("a.cpp"), Path("a.out"))
        optional = (
            set() if attempt.openmp else {x for x in present if "omp" in x or "openmp" in x or x == "-Xpreprocessor"}
        )
        optional |= set() if attempt.native else {x for x in present if "native" in x}
        assert present - optional <= {*command}
        assert not ({*command} & (absent | optional))
        assert ("/Fe:a.out" in command) if family == "msvc" else (command[command.index("-o") + 1] == "a.out")


def test_each_system_has_its_compilers_and_names():
    every = {"cl", "g++", "clang++"}.__contains__
    assert [toolchain.compiler("", x, lambda name: name if every(name) else None) for x in ("Windows", "Darwin")] == [
        ("cl",),
        ("g++",),
    ]
    path = r"C:\Program Files\c\cl.exe"
    assert toolchain.compiler(path, "Windows", lambda name: name if name == path else None) == (path,)
    quoted = f'"{path}" /Zi'
    assert toolchain.compiler(quoted, "Windows", lambda name: name if name == path else None) == (path, "/Zi")
    assert [toolchain.SUFFIXES.get(x, ".so") for x in ("Linux", "Darwin", "Windows")] == [".so", ".dylib", ".dll"]


class FakeLocks:
    """The locks of Windows, as their documentation has them: at the position of the file, busy as EACCES."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self):
        self.held: set[int] = set()

    def locking(self, number, mode, count):
        at = os.lseek(number, 0, os.SEEK_CUR)
        if mode == self.LK_UNLCK:
            self.held.remove(at)
        elif at in self.held:
            raise OSError(errno.EACCES, "Permission denied")
        else:
            self.held.add(at)


def test_the_locks_of_windows_are_asked_as_its_documentation_says(tmp_path, monkeypatch):
    """With a stand-in for `msvcrt`: this was never tried on Windows itself."""
    locks = FakeLocks()
    monkeypatch.setitem(sys.modules, "msvcrt", locks)
    monkeypatch.setattr(shelf, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(shelf, "PATIENCE", 0.0)
    at = int("00000ab", 16)
    with shelf.one_at_a_time(tmp_path, "00000abc"):
        assert locks.held == {at}
        with open(tmp_path / "lock", "ab") as file:
            assert not shelf._lock(file, at)
            assert shelf._lock(file, at + 1)
            assert shelf._lock(file, at + 1, take=False)
    assert locks.held == set()


def test_macos_tells_which_processor_it_is(monkeypatch):
    """With a stand-in for the C library: this was never tried on macOS itself."""

    def told(name, text, size, new, length):
        assert name == b"machdep.cpu.brand_string"
        text.value = b"Apple M1"
        return 0

    monkeypatch.setattr(_build.ctypes, "CDLL", lambda name: SimpleNamespace(sysctlbyname=told))
    assert _build._brand() == "Apple M1"
    monkeypatch.setattr(_build.ctypes, "CDLL", lambda name: SimpleNamespace())
    assert _build._brand() == ""


@pytest.mark.parametrize(
    ("said", "family"),
    [
        ("g++ (Debian 12.2.0-14) 12.2.0", "gcc"),
        ("Apple clang version 15.0.0 (clang-1500.3.9.4)", "clang"),
        ("Ubuntu clang version 14.0.0-1ubuntu1.1", "clang"),
        ("Microsoft (R) C/C++ Optimizing Compiler Version 19.38 for x64", "msvc"),
        ("", "gcc"),
    ],
)
def test_a_compiler_is_known_by_what_it_says(said, family):
    assert toolchain.family_of(said) == family


def test_the_runtime_of_openmp_is_the_one_that_torch_has_loaded(tmp_path):
    for name in ("libgomp-a34b3233.so.1", "libomp.dylib", "libtorch.so"):
        (tmp_path / name).touch()
    ours, others = str(tmp_path / "libgomp-a34b3233.so.1"), "/opt/scikit_learn.libs/libgomp-e985bcbb.so.1.0.0"
    assert toolchain.runtime_of([others, "/lib/libc.so.6", ours], tmp_path) == Path(ours)
    assert toolchain.runtime_of([others], tmp_path / "none") == Path(others)
    assert toolchain.runtime_of(["/lib/libiomp5.so"], tmp_path / "none") == Path("/lib/libiomp5.so")
    assert toolchain.runtime_of(["/lib/libcompany.so", "/lib/libc.so.6"], tmp_path / "none") is None
    attempt = toolchain.Attempt(True, True)
    assert toolchain.flags_of(attempt, "Linux", "x86_64", "gcc", Path("/usr/lib/libgomp.so.1"))[1] == ()
    behind = toolchain.flags_of(attempt, "Linux", "x86_64", "clang", Path("/torch/lib/libiomp5.so"))[1]
    assert behind == ("-Wl,--as-needed", "/torch/lib/libiomp5.so", "-Wl,-rpath,/torch/lib")


def test_a_library_is_linked_to_the_runtime_of_openmp_that_torch_has(tmp_path, home, monkeypatch):
    """Under another name than the one that the compiler would take, as in wheels."""
    runtime = tmp_path / "libgomp-other.so.1"
    command = [GXX, "-shared", "-fPIC", "-x", "c++", "-", f"-Wl,-soname,{runtime.name}", "-o", runtime]
    subprocess.run(command, input='extern "C" int of_the_other() { return 7; }', text=True, check=True)
    monkeypatch.setattr(toolchain, "runtime_of", lambda *_: runtime)
    source = 'extern "C" int of_the_other(); // #pragma omp\nEXPORT int answer() { return of_the_other(); }\n'
    assert answer(source) == 7
    (library,) = libraries(home)
    assert b"libgomp-other.so.1" in library.read_bytes()
    assert b"libgomp.so.1" not in library.read_bytes()
