"""The command `lrsched build-cache`: update rules compiled ahead of a run on machines without a compiler."""

import importlib
import sys

from lrsched import rules
from lrsched._command.shared import Args, UserError
from lrsched._core.parse import parse_value


def build_cache(args: Args) -> int:
    """Run the command.

    Args:
        args: `rules`, `dtype`, `master` and `maximize` of the command line.

    Returns:
        Exit status: 0, or 1 if a rule cannot be compiled.

    Raises:
        UserError: a text is no rule, or PyTorch is missing.
    """
    read = [parse_value(text, "rule") for text in args.rules]
    for rule in read:
        if not isinstance(rule, rules.Rule):
            raise UserError(f"{rule!r} is a part of a rule: write {rule!r} >> SGD()")
    try:
        # The core knows no framework; this is of the adapter that does.
        building = importlib.import_module("lrsched_torch.building")
    except ImportError as error:
        raise UserError(str(error)) from None
    failed = False
    for rule in read:
        for dtype in args.dtype or ["float32"]:
            try:
                paths, remark = building.build_cache(rule, dtype, master=args.master, maximize=args.maximize)
            except ValueError as error:
                print(f"lrsched build-cache: {error}", file=sys.stderr)
                failed = True
            else:
                print(f"{rule!r}, {dtype}{remark and f' ({remark})'}", *paths, sep="\n  ")
    return 1 if failed else 0
