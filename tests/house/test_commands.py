"""The commands of the Makefile, and what Hypothesis draws when they run the tests."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUITES = ("lint", "core", "trainers", "keras", "adapters")
# A word of the command of each suite that no other has.
WORDS = {
    "lint": "mypy",
    "core": "tests/core",
    "trainers": "--ignore=tests/trainers",
    "keras": "KERAS_BACKEND=jax",
    "adapters": "tests/docs",
}

TOOL = """\
#!/bin/sh
echo "$(basename "$0") $*" >> "$LOG"
for word in $FAILING; do case "$*" in *"$word"*) echo "$word failed"; exit 1;; esac; done
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Return what runs make with tools that only write down how they are called and fail on some words."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    environment, log = tmp_path / "venv", tmp_path / "log"
    (environment / "bin").mkdir(parents=True)
    for name in ("python", "ruff"):
        (environment / "bin" / name).write_text(TOOL)
        (environment / "bin" / name).chmod(0o755)
    for name in (".ready", ".oracles", ".oracles-large"):
        (environment / name).touch()

    def run(*arguments, failing=(), command=("make", "--no-print-directory")):
        log.write_text("")
        monkeypatch.setenv("LOG", str(log))
        monkeypatch.setenv("FAILING", " ".join(failing))
        monkeypatch.setenv("MAKEFLAGS", f"VENV={environment} PYTHON={sys.executable}")
        # What a make that runs these tests was given is in the environment too.
        for name in ("SEED", "DEPTH", "EXAMPLES", "TESTS"):
            monkeypatch.delenv(name, raising=False)
        done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines(), log.read_text().splitlines()

    return run


def calls(log, suite):
    return [line for line in log if WORDS[suite] in line]


@pytest.mark.parametrize("failing", [(), *((suite,) for suite in SUITES), ("core", "adapters"), SUITES])
def test_every_suite_runs_and_the_last_line_names_those_that_fail(make, failing):
    status, lines, log = make("test", failing=[WORDS[suite] for suite in failing])
    assert [len(calls(log, suite)) for suite in SUITES] == [1] * len(SUITES)
    assert (status != 0) == bool(failing)
    assert lines[-1] == (f"FAILED: {' '.join(failing)}" if failing else f"passed: {' '.join(SUITES)}")


@pytest.mark.parametrize("failing", ["check .", "format", "check_calls"])
def test_a_fault_of_style_does_not_hide_those_of_types(make, failing):
    status, _, log = make("lint", failing=[failing])
    assert status != 0
    assert len(calls(log, "lint")) == 1


def places(words, file):
    """Return how often the words of a command take in a file, by its name or a folder above it."""
    ignored = {word.removeprefix("--ignore=") for word in words if word.startswith("--ignore=")}
    own = {str(path) for path in (Path(file), *Path(file).parents)}
    return 0 if own & ignored else sum(word in own for word in words)


def test_every_test_file_is_in_one_suite(make):
    _, _, log = make("test")
    suites = [line.split() for suite in SUITES[1:] for line in calls(log, suite)]
    files = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    assert len(files) > 100
    assert [(file, sum(places(words, file) for words in suites)) for file in files] == [(file, 1) for file in files]


def test_a_change_is_checked_once(make):
    status, _, log = make(command=[str(ROOT / ".ci/run")])
    assert status == 0
    assert [len(calls(log, suite)) for suite in SUITES] == [1] * len(SUITES)


def test_the_default_run_takes_no_seed(make):
    _, lines, log = make("test")
    assert not any("seed" in line.lower() or "profile" in line for line in lines + log)


@pytest.mark.parametrize(("target", "profile"), [("test-all", "thorough"), ("explore", "explore")])
@pytest.mark.parametrize("failing", [(), ("tests/core",)])
def test_a_search_prints_its_seed_before_and_after(make, target, profile, failing):
    status, lines, log = make(target, failing=failing)
    assert (status != 0) == bool(failing)
    seed = lines[0].split()[0]
    assert seed.startswith("SEED=")
    assert any(seed in line.split() for line in lines[1:][-2:])
    assert seed != make(target)[1][0].split()[0]
    tests = [line for line in log if "pytest" in line]
    assert tests
    assert all(f"--hypothesis-profile={profile} --hypothesis-seed={seed[5:]} " in line for line in tests)


@pytest.mark.parametrize("target", ["test-all", "explore"])
def test_a_given_seed_is_used(make, target):
    _, lines, log = make(target, "SEED=7")
    assert "SEED=7" in lines[0].split()
    assert all("--hypothesis-seed=7 " in line for line in log if "pytest" in line)


def test_the_search_can_be_narrowed(make):
    _, lines, log = make("explore", "SEED=7", "EXAMPLES=20", "TESTS=tests/core/test_text.py")
    assert len(log) == 1
    assert log[0].endswith("tests/core/test_text.py")
    assert "-m hypothesis" in log[0]
    assert "EXAMPLES=20" in lines[0].split()


def test_the_lowest_versions_that_are_promised_are_tried(make):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    numpy, torch = project["dependencies"], project["optional-dependencies"]["torch"]
    lowest = [promise.replace(">=", "==") for promise in (*numpy, *torch)]
    assert [promise.partition("==")[0] for promise in lowest] == ["numpy", "torch"]
    _, lines, _ = make("-n", "test-lowest")
    assert any(line.endswith(" ".join(lowest)) for line in lines if "pip install" in line)
    assert any("tests/adapter_torch/test_torch_scheduler.py" in line for line in lines if "pytest" in line)


def test_the_core_is_tried_with_any_python_and_numpy(make):
    _, lines, _ = make("-n", "test-core", "NUMPY=2.1.0")
    assert any(line.endswith(" numpy==2.1.0") for line in lines if "pip install" in line)
    _, lines, _ = make("-n", "test-core")
    assert any(line.endswith(" numpy") for line in lines if "pip install" in line)


@pytest.mark.parametrize(("target", "kept"), [("clean", True), ("distclean", False)])
def test_only_distclean_removes_the_environment(tmp_path, target, kept):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copy(ROOT / "Makefile", tmp_path)
    inside = tmp_path / ".venv/lib/__pycache__"
    gone = [tmp_path / name for name in ("build", "dist", ".mypy_cache", "lrsched/_core/__pycache__")]
    for folder in (inside, *gone, tmp_path / "lrsched"):
        folder.mkdir(parents=True, exist_ok=True)
    environment = {name: content for name, content in os.environ.items() if name != "MAKEFLAGS"}
    subprocess.run(["make", target], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert inside.exists() == (tmp_path / ".venv").exists() == kept
    assert (tmp_path / "lrsched").exists()
    assert not any(folder.exists() for folder in gone)


def test_the_hooks_of_pre_commit_run_what_make_lint_runs(make):
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    hooks = re.findall(r"entry: \.venv/bin/(.*)", text)
    status, _, log = make("lint")
    assert status == 0
    # The hooks get the files that change instead of the folder.
    assert [hook.replace(" --force-exclude", " .") for hook in hooks] == log
    assert text.count("language: system") == len(hooks)


DRAWS = """\
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

def note(name, value):
    with Path(os.environ["DRAWN"], name).open("a") as file:
        print(repr(value), file=file)

@given(st.integers() | st.floats() | st.text())
def test_as_many_as_the_profile_says(value):
    note("profile", value)

@pytest.mark.parametrize("which", "ab")
@given(value=st.lists(st.floats()))
@settings(max_examples=20)
def test_twenty(which, value):
    note("twenty" + which, value)
"""


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Return what runs two tests in a process of its own and returns what was drawn, in order, by name."""

    def run(*arguments, folder="here", before="", examples=""):
        place, drawn = tmp_path / folder, tmp_path / f"drawn{len(list(tmp_path.iterdir()))}"
        place.mkdir(exist_ok=True)
        drawn.mkdir()
        (place / "pytest.ini").write_text("[pytest]\n")
        (place / "test_draws.py").write_text(DRAWS)
        (place / "constants.py").write_text(before)
        monkeypatch.setenv("DRAWN", str(drawn))
        monkeypatch.setenv("EXAMPLES", examples)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (place, ROOT / "tests"))))
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # most of the time goes into plugins of frameworks
        plugins = [f"-p{name}" for name in ("_hypothesis_pytestplugin", "xdist", "conftest", "constants")]
        command = [sys.executable, "-m", "pytest", "-q", *plugins, "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return {path.name: path.read_text().splitlines() for path in sorted(drawn.iterdir())}

    return run


def test_the_default_run_draws_the_same_wherever_and_after_whatever_it_runs(draw):
    first = draw()
    assert [len(values) for values in first.values()] == [40, 20, 20]
    constants = f"CONSTANTS = {[*range(10_000, 10_900)]}"  # Hypothesis would draw some of them
    assert first == draw("-n", "2", "--hypothesis-seed=3", folder="elsewhere", before=constants)


@pytest.mark.slow
def test_a_seed_says_what_is_drawn(draw):
    profile = "--hypothesis-profile=explore"
    first = draw(profile, "--hypothesis-seed=7", examples="100")
    assert [len(values) for values in first.values()] == [100, 50, 50]
    assert first == draw(profile, "--hypothesis-seed=7", "-n", "2", folder="elsewhere", examples="100")
    assert first != draw(profile, "--hypothesis-seed=8", examples="100")


@pytest.mark.slow
def test_without_a_seed_a_search_draws_afresh(draw):
    assert draw("--hypothesis-profile=thorough") != draw("--hypothesis-profile=thorough")
