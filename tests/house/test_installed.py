"""What is said where the other distribution with our import name is installed over ours."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lrsched.installed import needs, warn_of_twin

PACKAGE = Path(__file__).resolve().parents[2] / "lrsched"


def imported(folder: Path) -> str:
    """Return what a process says that imports the package from a folder."""
    (folder / "lrsched").symlink_to(PACKAGE)
    program = f"import sys; sys.path.insert(0, {str(folder)!r}); import lrsched; print(lrsched.__file__)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.startswith(str(folder))
    return done.stderr


@pytest.mark.parametrize("name", ["lrsched-0.3.1.dist-info", "lrsched-0.3.1.egg-info"])
def test_the_import_says_that_two_distributions_are_mixed(tmp_path: Path, name: str):
    (tmp_path / name).mkdir()
    (tmp_path / "lrsched_suite-0.1.0.dist-info").mkdir()
    said = imported(tmp_path)
    assert said.startswith("<string>:1: UserWarning: two distributions are installed over each other in ")
    assert "lrsched-suite, which is imported now, and lrsched-0.3.1, another library" in said
    assert "pip uninstall -y lrsched lrsched-suite && pip install lrsched-suite" in said


def test_it_says_nothing_where_ours_is_alone(tmp_path: Path):
    (tmp_path / "lrsched_suite-0.1.0.dist-info").mkdir()
    (tmp_path / "lrsched_tools-1.0.dist-info").mkdir()
    assert imported(tmp_path) == ""


def test_it_says_nothing_where_there_is_no_folder(tmp_path: Path, recwarn: pytest.WarningsRecorder):
    warn_of_twin(str(tmp_path / "archive.zip" / "lrsched"))
    assert recwarn.list == []


MISSING = {
    "lrsched_torch": ("torch", r'lrsched_torch needs torch, .*: pip install "lrsched-suite\[torch\]"'),
    "lrsched_keras": ("keras", r'needs keras, .*lrsched-suite\[keras\]" and one of its backends: tensorflow, or jax'),
    "lrsched_optax": ("optax", r'lrsched_optax needs optax, .*: pip install "lrsched-suite\[optax\]"'),
    "lrsched.demo": ("sklearn", r'the demonstration needs sklearn.*lrsched-suite\[demo\]"'),
}


@pytest.mark.parametrize("package", MISSING)
def test_an_import_without_its_framework_says_what_to_install(package: str):
    framework, said = MISSING[package]
    call = "lrsched.demo.digits()" if package == "lrsched.demo" else ""
    program = f"import sys; sys.modules[{framework!r}] = None; import {package}; {call}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(f"ModuleNotFoundError: .*{said}", done.stderr), done.stderr


def test_what_else_is_missing_is_told_as_python_does():
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module'"), needs("it", "torch", "torch"):
        import no_such_module  # noqa: F401
