"""Run the benchmarks and print one table: `python -m benchmarks [--only NAME ...] [--json]`."""

import argparse
import importlib
import json
import math
import sys
from collections.abc import Iterator, Sequence

from benchmarks._rows import Row, skipped

# Each is a module of this package with a function `rows`.
MEASUREMENTS = (
    "one_step",
    "many_steps",
    "torch_step",
    "optax_chain",
    "torch_rules",
    "numpy_rules",
    "optax_rules",
    "keras_rules",
    "closed_loop",
    "import_time",
)
_HEADER = ("measurement", "case", "ours", "peer", "compared with", "value", "target", "")


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return "-" if math.isnan(seconds) else f"{seconds / 1e-9:.3g} ns"


def _cells(measurement: str, row: Row) -> tuple[str, ...]:
    value = "-" if math.isnan(row.value) else f"{row.value:.2f} {row.unit}"
    target = f"<= {row.target:g} {row.unit}"
    verdict = f"{row.verdict}: {row.note}" if row.note else row.verdict
    return measurement, row.case, _time(row.ours_s), _time(row.peer_s), row.peer, value, target, verdict


def table(found: list[tuple[str, Row]]) -> Iterator[str]:
    """Yield the lines of the table."""
    cells = [_HEADER, *(_cells(*item) for item in found)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_HEADER) - 1)]
    right = (2, 3, 5, 6)
    for line in cells:
        padded = [
            cell.rjust(w) if i in right else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=False))
        ]
        yield "  ".join([*padded, line[-1]]).rstrip()


def as_json(found: list[tuple[str, Row]]) -> str:
    """Return the rows as a JSON list; a value that is missing is null."""
    return json.dumps(
        [
            {
                "measurement": name,
                "case": row.case,
                "peer": row.peer,
                "ours_s": None if math.isnan(row.ours_s) else row.ours_s,
                "peer_s": None if math.isnan(row.peer_s) else row.peer_s,
                "value": None if math.isnan(row.value) else row.value,
                "unit": row.unit,
                "target": row.target,
                "verdict": row.verdict,
                "note": row.note,
            }
            for name, row in found
        ],
        indent=1,
    )


def measured(names: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """Yield the rows of each measurement as they come; one that fails becomes a row that says so."""
    for name in names:
        try:
            for row in importlib.import_module(f"benchmarks.{name}").rows():
                yield name, row
        except Exception as error:  # what the others found is kept
            yield name, skipped("the rest", "-", math.nan, f"{type(error).__name__}: {error}")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=MEASUREMENTS, default=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS)
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    found = []
    for item in measured(options.only):
        found.append(item)
        print(*_cells(*item), sep="  ", file=sys.stderr)  # a row may take a minute
    print(as_json(found) if options.json else "\n".join(table(found)))


if __name__ == "__main__":
    main()
