"""What is said where the other distribution with our import name is installed over ours."""

import subprocess
import sys
from pathlib import Path

import pytest

from lrsched._core.installed import warn_of_twin

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
