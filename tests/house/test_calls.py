"""What type checkers know: the comparison of `make lint` can fail, and no library is left out."""

import ast
import json
from pathlib import Path

import check_calls
import pytest

from lrsched import compat

SOURCE = "right()\nwrong()  # wrong\nright()\n"
MYPY = (
    'tests/house/calls.py:{}: error: Module has no attribute "f"  [attr-defined]\ntests/house/calls.py:1: note: See\n'
)


def pyright(line: int) -> str:
    """Return what pyright prints of an error in a line, counted from 1, and of a warning in the first."""
    said = [(line, "error"), (1, "warning")]
    return json.dumps(
        {
            "generalDiagnostics": [
                {"severity": severity, "message": "no", "range": {"start": {"line": line - 1}}}
                for line, severity in said
            ]
        }
    )


@pytest.mark.parametrize(("read", "printed"), [(check_calls.of_mypy, MYPY.format), (check_calls.of_pyright, pyright)])
def test_a_checker_that_says_too_much_or_too_little_is_found(read, printed):
    assert check_calls.differences(SOURCE, read(printed(2))) == []
    unexpected, missing = check_calls.differences(SOURCE, read(printed(3)))
    assert unexpected.startswith("line 3: ")
    assert missing == "line 2 is wrong, but nothing is said"


@pytest.mark.parametrize("wrong", [False, True])
def test_the_exit_status_tells(monkeypatch, capsys, wrong):
    marked = [i for i, line in enumerate(check_calls.CALLS.read_text().splitlines(), 1) if line.endswith("# wrong")]
    assert len(marked) > 10
    diagnostics = [json.loads(pyright(line))["generalDiagnostics"][0] for line in marked[wrong:]]
    said = {
        "mypy": "".join(map(MYPY.format, marked)),
        "pyright": json.dumps({"generalDiagnostics": diagnostics}),
    }
    monkeypatch.setattr(check_calls, "run", lambda tool, *_: said[tool])
    assert check_calls.main() == wrong
    assert ("pyright: line" in capsys.readouterr().out) == wrong


def test_a_checker_that_does_not_work_is_no_success(monkeypatch):
    with pytest.raises(RuntimeError, match=r"json\.tool failed"):
        check_calls.run("json.tool", "--no-such-option")


def test_type_checkers_see_every_library():
    (block,) = (
        node
        for node in ast.parse(Path(compat.__file__).read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    names = [alias.asname for node in block.body if node.module == "lrsched.compat" for alias in node.names]
    assert names == dir(compat)
