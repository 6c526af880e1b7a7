"""The documentation is true: README code runs, the commands it names exist, the notebooks run."""

import doctest
import importlib.util
import multiprocessing
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = {"lrsched_torch": "torch", "lrsched_keras": "keras", "lrsched_optax": "optax"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a Markdown text: its language, its code and the line it starts on, from 1."""

    language: str
    code: str
    line: int


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text."""
    return [Block(m[1], m[2], text.count("\n", 0, m.start(2)) + 1) for m in FENCE.finditer(text)]


def sections(text: str) -> dict[str, list[Block]]:
    """Return the python blocks below each heading of level one or two that has any."""
    # A fence may hold lines that start with #: only headings outside count.
    bare = FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    starts = [(m.start(), m[1]) for m in re.finditer(r"^##? (.+)$", bare, re.MULTILINE)] or [(0, "")]
    ends = [start for start, _ in starts[1:]] + [len(text)]
    found = {}
    for (start, title), end in zip(starts, ends, strict=True):
        first = text.count("\n", 0, start)
        python = [Block(b.language, b.code, b.line + first) for b in blocks(text[start:end]) if b.language == "python"]
        if python:
            found[title] = python
    return found


def execute(python: list[Block], name: str) -> None:
    """Run blocks one after the other in one namespace; a block with prompts must print what it says."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in python:
        if block.code.lstrip().startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(block.code, namespace, name, name, block.line - 1)
            options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            doctest.DebugRunner(optionflags=options, verbose=False).run(test, clear_globs=False)
            namespace.update(test.globs)
        else:
            # The empty lines make a traceback name the line of the text.
            exec(compile("\n" * (block.line - 1) + block.code, name, "exec"), namespace)


def in_fresh_process(function: Callable[..., None], *args: object) -> None:
    """Call `function` in a new interpreter and raise here what it raises there."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(function, *args).result()


def missing(python: list[Block]) -> list[str]:
    """Return the imports of the blocks that are not installed here."""
    code = "\n".join(block.code for block in python)
    named = {m[1] for m in re.finditer(r"^\s*(?:>>> |\.\.\. )?(?:import|from) (\w+)", code, re.MULTILINE)}
    return sorted(name for name in {NEEDS.get(name, name) for name in named} if importlib.util.find_spec(name) is None)


@pytest.mark.parametrize("section", sections(README))
def test_readme_code_runs(section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    python = sections(README)[section]
    if absent := missing(python):
        pytest.skip(f"not installed: {', '.join(absent)}")
    monkeypatch.chdir(tmp_path)  # what the code writes stays out of the checkout
    in_fresh_process(execute, python, "README.md")


def test_readme_has_code():
    assert len(sections(README)) > 0


MARKDOWN = """\
# Title

```python
x = 1
# y
```

## Second

```bash
make test
```

```python
>>> 1 + 1
2
```

```python
z = 1
z / 0
```
"""


def test_blocks_are_grouped_by_section_with_their_lines():
    assert sections(MARKDOWN) == {
        "Title": [Block("python", "x = 1\n# y\n", 4)],
        "Second": [Block("python", ">>> 1 + 1\n2\n", 15), Block("python", "z = 1\nz / 0\n", 20)],
    }


def test_code_that_raises_is_found_with_its_line():
    with pytest.raises(ZeroDivisionError) as caught:
        execute(sections(MARKDOWN)["Second"], "README.md")
    assert caught.traceback[-1].lineno == 20  # counted from 0


def test_code_that_raises_in_another_process_is_found():
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        in_fresh_process(execute, sections(MARKDOWN)["Second"], "README.md")


def test_code_that_prints_something_else_is_found():
    with pytest.raises(doctest.DocTestFailure):
        execute([Block("python", ">>> 1 + 1\n3\n", 1)], "README.md")


def test_blocks_of_a_section_share_names_with_prompts_and_without():
    execute(
        [Block("python", "x = 1\n", 1), Block("python", ">>> y = x + 1\n", 2), Block("python", "assert y == 2", 3)], ""
    )


def test_a_missing_library_is_seen():
    code = "import numpy\n>>> from no_such_library import x\nimport lrsched"
    assert missing([Block("python", code, 1)]) == ["no_such_library"]


def targets(makefile: str) -> set[str]:
    """Return the targets a Makefile defines."""
    return {m[1] for m in re.finditer(r"^([a-z][\w-]*):", makefile, re.MULTILINE)}


def named_targets(text: str) -> set[str]:
    """Return the targets that a Markdown text calls, as `make NAME` in code or on a line of a shell block."""
    shell = "\n".join(b.code for b in blocks(text) if b.language in {"", "bash", "console", "sh", "shell"})
    called = [m[1] for m in re.finditer(r"(?:^|[;&$]) *make ([a-z][\w-]*)", shell, re.MULTILINE)]
    return {*called, *(m[1] for m in re.finditer(r"`make ([a-z][\w-]*)`", text))}


def test_readme_names_only_commands_that_exist():
    assert named_targets(README) <= targets((ROOT / "Makefile").read_text(encoding="utf-8"))


def test_readme_names_the_two_commands_that_matter():
    assert {"demo", "test"} <= named_targets(README)


def test_commands_in_prose_and_in_shell_blocks_are_seen():
    assert named_targets(MARKDOWN + "Use `make nothing`.\n```sh\n$ make -j\ncd x && make it\n```") == {
        "test",
        "nothing",
        "it",
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_outputs(path: Path):
    nbformat = pytest.importorskip("nbformat")
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient").NotebookClient
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(path, as_version=4)
    client(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
