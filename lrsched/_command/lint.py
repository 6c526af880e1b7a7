"""`lrsched lint`: whether schedules fit a run."""

import argparse
import json

from lrsched._command.shared import Args, budget_of, read_schedules
from lrsched._lint.lint import lint as remarks_of


def lint(args: Args) -> int:
    """Print what does not fit; return the exit status.

    Args:
        args: `schedules`, `steps`, `unit`, `steps_per_epoch`, `lr`, `strict` and `json` of the command line.

    Returns:
        1 if there is an error, or with `strict` a warning; else 0.

    Raises:
        UserError: a schedule cannot be read.
    """
    schedules = read_schedules(args.schedules, budget_of(args))
    run = {"steps": args.steps, "unit": args.unit, "steps_per_epoch": args.steps_per_epoch, "lr": args.lr}
    found = [(schedule, remarks_of(schedule, **run)) for schedule in schedules]
    if args.json:
        told = [{"schedule": repr(s), "remarks": [remark._asdict() for remark in remarks]} for s, remarks in found]
        print(json.dumps(told, indent=2, allow_nan=False))
    else:
        for schedule, remarks in found:
            if len(found) > 1:
                print(schedule)
            for remark in remarks:
                print(f"{remark.severity}: {remark.code}: {remark.message}")
                if remark.suggestion:
                    print(f"  for example {remark.suggestion}")
            if not remarks:
                print("nothing to remark")
    grave = {"error", "warning"} if args.strict else {"error"}
    return int(any(remark.severity in grave for _, remarks in found for remark in remarks))


def rate(text: str) -> float:
    """Read a rate above 0 (an argparse type)."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a finite number > 0, got {text}")
    return number
