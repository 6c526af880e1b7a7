"""`lrsched bound`: which schedule convex optimisation prefers, each at its best peak, and for another horizon."""

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

from lrsched._command.shared import Args, UserError, budget_of, read_schedules
from lrsched._curves import Schedule
from lrsched.forecast import best_peaks, transfer_horizon

MEANING = (
    "",
    "bound: of the last loss, times sqrt(steps) / (distance * gradient norm); peak: over that of the first line.",
    "It ranks shapes and forecasts no loss.",
)


def bound(args: Args) -> int:
    """Print the schedules in the order of their bounds, or with `to` what each becomes for another horizon.

    Args:
        args: `schedules`, `steps`, `to` and `json` of the command line.

    Returns:
        0.

    Raises:
        UserError: a schedule cannot be read, has no rate above 0, or with `to` does not rise, stay and fall.
    """
    schedules = read_schedules(args.schedules, budget_of(args))
    named = list(zip(args.schedules, schedules, strict=True))
    rows, lines = _ranked(named, args.steps) if args.to is None else _carried(named, args.steps, args.to)
    print(json.dumps(rows, indent=2, allow_nan=False) if args.json else "\n".join(lines))
    return 0


Rows = tuple[list[dict[str, Any]], list[str]]
Named = list[tuple[str, Schedule]]


def _ranked(named: Named, steps: int) -> Rows:
    found = []
    for text, schedule in named:
        with _told(text):
            found.append((text, best_peaks([schedule], steps)[0]))
    found.sort(key=lambda item: item[1].bound)
    best, unit = found[0][1], math.sqrt(steps)
    rows = [
        {"schedule": text, "bound": each.bound * unit, "ratio": each.bound / best.bound, "peak": each.peak / best.peak}
        for text, each in found
    ]
    lines = [f"{row['bound']:8.4f}  {row['ratio']:7.4f}  {row['peak']:7.4f}  {row['schedule']}" for row in rows]
    return rows, ["   bound    ratio     peak  schedule, each at its best peak", *lines, *MEANING]


def _carried(named: Named, steps: int, to: int) -> Rows:
    rows: list[dict[str, Any]] = []
    for text, schedule in named:
        with _told(text):  # that it has a rise and a fall at all
            rows.append({"schedule": text, "how": "decay", "becomes": repr(transfer_horizon(schedule, steps, to))})
        for how in ("two_stage", "rescale"):
            try:
                rows.append(
                    {"schedule": text, "how": how, "becomes": repr(transfer_horizon(schedule, steps, to, how=how))}
                )
            except ValueError as error:
                rows.append({"schedule": text, "how": how, "becomes": None, "reason": str(error)})
    return rows, [f"{row['how']:>9}  {row['becomes'] or 'not possible: ' + row['reason']}" for row in rows]


@contextlib.contextmanager
def _told(text: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UserError(f"{text}: {error}") from None
