"""Show the calls of `calls.py` to mypy and pyright: each must complain about the lines that are marked, and no others.

It exits with 1, and a line for each difference, if one does not.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

CALLS = Path(__file__).with_name("calls.py")
Faults = dict[int, str]  # line -> what is wrong there


def run(*command: str) -> str:
    """Return what a checker prints, or raise if it could not do its work."""
    done = subprocess.run([sys.executable, "-m", *command], check=False, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")
    return done.stdout


def of_mypy(printed: str) -> Faults:
    """Return the errors in what mypy prints."""
    return {int(line): text for line, text in re.findall(r"calls\.py:(\d+): error: (.*)", printed)}


def of_pyright(printed: str) -> Faults:
    """Return the errors in what pyright prints as JSON."""
    found = [each for each in json.loads(printed)["generalDiagnostics"] if each["severity"] == "error"]
    return {each["range"]["start"]["line"] + 1: each["message"] for each in found}


def differences(source: str, faults: Faults) -> list[str]:
    """Return a line for each fault that is not marked, and for each mark without a fault."""
    marked = {i for i, line in enumerate(source.splitlines(), 1) if line.endswith("# wrong")}
    unexpected = [f"line {line}: {faults[line]}" for line in sorted(faults.keys() - marked)]
    return unexpected + [f"line {line} is wrong, but nothing is said" for line in sorted(marked - faults.keys())]


def main() -> int:
    """Compare what each checker says with the marks; return the exit status."""
    found = {
        "mypy": of_mypy(run("mypy", str(CALLS))),
        "pyright": of_pyright(run("pyright", "--outputjson", "--pythonpath", sys.executable, str(CALLS))),
    }
    lines = [f"{CALLS.name}, {tool}: {line}" for tool in found for line in differences(CALLS.read_text(), found[tool])]
    print(*lines or [f"{CALLS.name}: {' and '.join(found)} complain about what is wrong alone"], sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
