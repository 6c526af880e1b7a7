"""Write docs/compat.md and docs/one-request.svg from the data of the tests.

    python docs/make_compat.py               measure against what is installed, and write
    python docs/make_compat.py torch optax   measure these libraries only

Where a library is not installed the figures of the page stay as they are.
"""

import math
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters"), str(ROOT / "tests")]

import compat_samples as samples  # noqa: E402  # the tests' folder must be on the path
import numpy as np  # noqa: E402
from compat_loops import LOOPS, ONLY, READ, RUN  # noqa: E402
from test_compat_table import PLAIN, TABLE, T, W  # noqa: E402

from lrsched import compat, rules  # noqa: E402
from lrsched._draw.picture import _COLOURS, _FONT, Panel, _points, _rule, _stroke, _text, _theme, escape  # noqa: E402
from lrsched.compat._remarks.table import BATCHES, CODES  # noqa: E402

PAGE = ROOT / "docs" / "compat.md"
PICTURE = ROOT / "docs" / "one-request.svg"
FORMULA = "formula"
OWN = "in its own test"
REFUSED = "refused"
UNKNOWN = "not measured"
_LONGEST = 240


class Measured(NamedTuple):
    """The figures of a page: the version of each library, and the difference of each function as it is printed."""

    versions: dict[str, str]
    differences: dict[tuple[str, str], str]


def rounded_up(difference: float) -> str:
    """Return a difference with one significant digit, never less than it is."""
    if difference == 0.0:
        return "0"
    power = math.floor(math.log10(difference))
    digit = math.ceil(round(difference / 10.0**power, 9))
    return f"{digit}e{power}" if digit < 10 else f"1e{power + 1}"


def measure(library: str, before: Measured) -> Measured:
    """Run one library; where it is not installed, return what was measured before."""
    found = Measured({}, {})
    entry = samples.LIBRARIES[library]
    if entry.run is None:
        return found
    try:
        found.versions[library] = samples.version(library)
        for name in samples.sampled(library):
            figure = samples.difference(library, name)
            found.differences[library, name] = OWN if figure is None else rounded_up(figure)
    except samples.pytest.skip.Exception as absent:
        print(f"  kept: {absent}")
        keep = {key: text for key, text in before.differences.items() if key[0] == library}
        return Measured({k: v for k, v in before.versions.items() if k == library}, keep)
    return found


def read(page: str) -> Measured:
    """Return the figures of a page."""
    found, library = Measured({}, {}), ""
    for line in page.splitlines():
        if heading := re.match(r"## `(\w+)`", line):
            library = heading[1]
        elif version := re.match(r"Measured against \S+ (\S+?)\.(?: |$)", line):
            found.versions[library] = version[1]
        elif row := re.match(r"\| `(\w+)\(", line):
            found.differences[library, row[1]] = line.removesuffix(" |").split(" | ")[2]
    return found


def code(text: str, most: int = _LONGEST) -> str:
    """Return a text as code in a table."""
    shown = text if len(text) <= most else text[: most - 1] + "\u2026"
    return f"`{shown}`".replace("|", "\\|")


def page(measured: Measured) -> str:
    """Return the whole page with these figures."""
    blocks = [_HEAD, _overview(measured), _request()]
    blocks += [_library(name, measured) for name in sorted(samples.LIBRARIES)]
    words = "\n".join(f"| `{name}` | {code.severity} | {code.words} |" for name, code in sorted(CODES.items()))
    return "\n\n".join([*blocks, _FOOT + words]) + "\n"


_HEAD = """\
# Other libraries' schedules

<!-- Written by docs/make_compat.py from the data of the tests. Change those. -->

Each function of `lrsched.compat` with a sample call, the schedule that it makes, and the largest difference from the
library itself over the first 120 updates, relative to its largest rate, rounded up to one digit. Differences near 1e-16
are rounding in float64; those near 1e-7 are the library's own float32. "formula" marks a library that cannot be
installed beside the others: its tests hold the formulas of its source, at the commit that its section names with its
date (`python docs/source_ages.py` lists the commits that are older than a year). A scheduler is right only as its
trainer drives it: "trainer run" marks a library whose trainer (or the loop that it documents) was run for a dozen
updates in `tests/trainers`, and the rate of each was that of the schedule; "loop read" one whose loop was read, at the
lines that its section names; "schedule only" one compared with the scheduler alone. "counts" is what moves the schedule
where the gradients of n batches are accumulated for an update: where it is batches, update j has the rate of the last
of its own, `s(n * j + n - 1)`, which is `Batches(s, n)(j)`. The last column of the other tables names what people trip
over in that call; "counts-batches", which is said of all calls of a library, is left out there. `compat.remarks` says
it of any other call, too, and what has to change in numbers that were written for the function of another library:

```python
>>> from lrsched import compat
>>> call = ("optax", "warmup_cosine_decay_schedule", 1e-6, 1e-3, 100, 900)
>>> [r.code for r in compat.remarks(*call, horizon=1000)]
['length-includes-warmup', 'ends-before-training']
>>> compat.remarks(*call, like="keras.CosineDecay")[0].suggestion
'write decay_steps=1000 for that curve'

```"""

_FOOT = """\
## Remarks

| code | severity | |
|---|---|---|
"""


def _overview(measured: Measured) -> str:
    rows = [
        "| library | functions | measured against | largest difference of a schedule | driven | counts |",
        "|---|---|---|---|---|---|",
    ]
    for library, entry in sorted(samples.LIBRARIES.items()):
        names = list(samples.sampled(library))
        figures = [measured.differences.get((library, name), UNKNOWN) for name in names if not is_rule(library, name)]
        worst = max(figures, key=_size) if entry.run else FORMULA
        against = f"{entry.package} {measured.versions.get(library, '')}".strip() if entry.run else source(library)
        loop = LOOPS[library]
        rows.append(f"| [`{library}`](#{library}) | {len(names)} | {against} | {worst} | {loop.how} | {loop.counts} |")
    return "\n".join(rows)


def _size(figure: str) -> float:
    return math.inf if figure == UNKNOWN else float(figure)


def is_rule(library: str, name: str) -> bool:
    """Return whether a function makes an update rule."""
    return isinstance(samples.call(library, name, samples.sampled(library)[name]), rules.Rule)


def source(library: str) -> str:
    """Return what the first function with a reference names as its source."""
    module = getattr(compat, library)
    for name in module.__all__:
        cited = re.search(r"References:\n\s+(.+)", getattr(module, name).__doc__ or "")
        if cited:
            return cited[1].partition(";")[0].rstrip(".").partition(". It")[0]
    return (module.__doc__ or "").partition("\n")[0].rstrip(".")


def _library(library: str, measured: Measured) -> str:
    entry = samples.LIBRARIES[library]
    if entry.run:
        against = f"Measured against {entry.package} {measured.versions.get(library, UNKNOWN)}."
    else:
        against = f"Compared with the formulas of {source(library)}, in `tests/compat/{_tests(library)}`."
    curves = [name for name in samples.sampled(library) if not is_rule(library, name)]
    optimizers = [name for name in samples.sampled(library) if is_rule(library, name)]
    lines = [
        f"## `{library}`",
        "",
        against,
        _driven(library),
        "",
        "| call | schedule | difference | remarks |",
        "|---|---|---|---|",
    ]
    said: dict[str, list[tuple[str, str]]] = {}
    for name in curves:
        named = samples.sampled(library)[name]
        built = {key: samples.built(library, value) for key, value in named.items()}
        found = compat.remarks(library, name, **built, accumulation=1)
        for remark in found:
            said.setdefault(remark.code, []).append((name, f"{remark.message}; {remark.suggestion}"))
        codes = ", ".join(f"`{remark.code}`" for remark in found)
        figure = measured.differences.get((library, name), UNKNOWN) if entry.run else FORMULA
        made = repr(samples.call(library, name, named))
        lines.append(f"| {code(samples.text(name, named))} | {code(made)} | {figure} | {codes} |")
    lines += [f"| `{name}(...)` | | {REFUSED} | {_advice(library, name)} |" for name in samples.refused(library)]
    if said:
        lines += ["", *_notes(said)]
    if optimizers:
        lines += [
            "",
            "Optimizers: the parameters after 20 updates.",
            "",
            "| call | rule | difference |",
            "|---|---|---|",
        ]
        for name in optimizers:
            figure = measured.differences.get((library, name), UNKNOWN)
            lines.append(f"| `{name}()` | {code(repr(samples.call(library, name, {})))} | {figure} |")
    return "\n".join(lines)


def _driven(library: str) -> str:
    loop = LOOPS[library]
    how = {RUN: "Run in", READ: "Its loop was read in", ONLY: "Its scheduler alone was looked at:"}[loop.how]
    counts = f" Where several batches make an update the scheduler counts {loop.counts}." if loop.counts else ""
    if library in BATCHES:
        counts += f" An update of n is asked for by `{BATCHES[library]}`; it has the rate of its last batch."
    return f"{how} {loop.where}.{counts}"


def _tests(library: str) -> str:
    own = ROOT / "tests" / "compat" / f"test_compat_{library}.py"
    shared = {"big_vision": "scenic"}.get(library, "trainers")
    return own.name if own.exists() else f"test_compat_{shared}.py"


def _advice(library: str, name: str) -> str:
    _, text, *_ = (getattr(getattr(compat, library), name).__doc__ or "").split("\n\n")
    return " ".join(text.split())


def _notes(said: Mapping[str, list[tuple[str, str]]]) -> Iterator[str]:
    for name, found in said.items():
        first, message = found[0]
        others = f", and {len(found) - 1} more" if len(found) > 1 else ""
        yield f"* **{name}** (`{first}`{others}): {message}"


def _request() -> str:
    count = len(PLAIN)
    lines = [
        "## One request, many answers",
        "",
        f"Linear warm-up of {W} updates to 1, then a cosine to 0 at update {T}: what each library does with its own",
        "arguments for that, update by update. The grey line of the picture is what",
        f"{_crowd()} do.",
        "",
        "![The same request in each library](one-request.svg)",
        "",
        f"| library | {' | '.join(map(str, range(count)))} | |",
        f"|---|{'---:|' * count}---|",
    ]
    for label, (_, values) in TABLE.items():
        lines.append(f"| {label} | {' | '.join(f'{v:.4g}' for v in values)} | {oddity(values)} |")
    return "\n".join(lines)


def groups() -> list[tuple[list[str], list[float]]]:
    """Return the libraries that agree in all updates, with their rates; first those that most agree with."""
    found: list[tuple[list[str], list[float]]] = []
    for label, (_, values) in TABLE.items():
        for labels, known in found:
            if known == values:
                labels.append(label)
                break
        else:
            found.append(([label], values))
    return sorted(found, key=lambda item: -len(item[0]))


def _crowd() -> str:
    *most, last = groups()[0][0]
    return f"{', '.join(most)} and {last}"


def oddity(values: list[float]) -> str:
    """Return what is odd about the rates of the table, in a few words; numbers after "at" are updates."""
    top, notes = max(values[:T]), []
    peak = values.index(top)
    if values[0] == values[1]:
        notes.append("first rate twice")
    elif values[0] > 0.0:
        notes.append(f"begins with {values[0]:.3g}")
    if top < 1.0:
        notes.append(f"never above {top:.3g}")
    elif peak != W:
        notes.append(f"top at {peak}")
    zeros = [t for t in range(peak, T) if values[t] == 0.0]
    if zeros:
        notes.append(f"0 at {zeros[0]}")
    elif values[T - 1] == top:
        notes.append(f"anew at {T - 1}")
    elif values[T] > 0.01:
        notes.append(f"{values[T]:.3g} left at {T}")
    if values[T + 1] > values[T]:
        notes.append("rises again")
    return ", ".join(notes)


_CELL, _TALL, _COLUMNS = 222, 132, 4


def picture() -> str:
    """Return the small multiples of the table as SVG, in the colours of the viewer's theme."""
    cells = groups()
    rows = math.ceil(len(cells) / _COLUMNS)
    width, height = _COLUMNS * _CELL, rows * _TALL + 34
    body = [_text(10, 20, f"One request: warm up for {W} updates, then a cosine to 0 at update {T}", 1)]
    for i, (labels, values) in enumerate(cells):
        body += _panel(i % _COLUMNS * _CELL, 34 + i // _COLUMNS * _TALL, labels, values)
    theme = f"<style>{_theme('one', 'light', '#424a53')}{_theme('one', 'dark', '#c9d1d9')}</style>"
    words = "; ".join(f"{', '.join(labels)}: {oddity(values) or 'as asked'}" for labels, values in cells)
    # A viewer that knows no media queries keeps the grey, which can be read on both.
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" id="one" role="img" aria-labelledby="one-t one-d" color="#7d8590"'
        f' viewBox="0 0 {width} {height}" width="{width}" height="{height}" style="max-width:100%;height:auto"'
        f' font-family="{_FONT}" font-size="11" fill="currentColor">'
        f'<title id="one-t">One request, {len(cells)} answers</title>'
        f'<desc id="one-d">{escape(words)}</desc>{theme}{"".join(body)}</svg>\n'
    )


def _panel(left: float, top: float, labels: list[str], values: list[float]) -> Iterator[str]:
    panel = Panel(left + 24, top + 34, _CELL - 40, _TALL - 58, len(values) - 1, 0.0, 1.0, False)
    if len(labels) == 1:
        yield _text(left + 10, top + 12, labels[0], 1)
        yield f'<g font-size="10">{_text(left + 10, top + 24, oddity(values), 0.8)}</g>'
    else:
        names = [(row, 1.0) for row in textwrap.wrap(", ".join(labels), 33)]
        rows = "".join(
            _text(left + 10, top + 4 + 11 * i, row, strength)
            for i, (row, strength) in enumerate([*names, (oddity(values), 0.8)])
        )
        yield f'<g font-size="10">{rows}</g>'
    bottom = panel.top + panel.height
    yield _rule(panel.left, bottom, panel.left + panel.width, bottom, 0.5)
    for step in (0, W, T):
        x = panel.spot(step, 0.0)[0]
        yield _rule(x, bottom, x, bottom + 3, 0.5)
        yield _text(x, bottom + 14, str(step), 0.7, "middle")
    yield _text(panel.left - 5, panel.top + 4, "1", 0.7, "end")
    steps = np.arange(len(values))
    plain = _points(np.column_stack(panel.place(steps, np.array(PLAIN, dtype=np.float64))))
    yield f'<polyline points="{plain}" fill="none" stroke="currentColor" stroke-width="4" opacity=".25"/>'
    x, y = panel.place(steps, np.array(values, dtype=np.float64))
    points = np.column_stack([x, y])
    yield f'<polyline class="curve" points="{_points(points)}" fill="none" {_stroke(0)}/>'
    yield from (f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.2" fill="{_COLOURS[0]}"/>' for a, b in points.tolist())


def main(chosen: list[str]) -> None:
    """Measure the chosen libraries, or all, and write the page and the picture."""
    before = read(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else Measured({}, {})
    after = Measured(dict(before.versions), dict(before.differences))
    for library in chosen or sorted(samples.LIBRARIES):
        print(library)
        found = measure(library, before)
        after.versions.update(found.versions)
        after.differences.update(found.differences)
    PAGE.write_text(page(after), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    import conftest  # noqa: F401  # a quiet environment on the CPU, before any framework is imported

    main(sys.argv[1:])
