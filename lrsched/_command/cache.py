"""The command `lrsched build-cache`: update rules compiled ahead of a run on machines without a compiler."""

import ast
import importlib
import inspect
import sys
from typing import Any, get_type_hints

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
    read = list(map(_read, args.rules))
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


def _read(text: str) -> rules.Rule:
    """Return the rule that a text names, also by a function such as `AdamW(weight_decay=0.1)`.

    Raises:
        UserError: it is none.
    """
    try:
        found = parse_value(text, "rule")
    except ValueError as error:
        try:
            found = _made(ast.parse(text.strip(), mode="eval").body)
        except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
            raise error from None
    if not isinstance(found, rules.Rule):
        raise UserError(f"{found!r} is a part of a rule: write {found!r} >> SGD()")
    return found


def _made(node: ast.expr) -> Any:
    """Return what links and calls make; only functions of `lrsched.rules` that return rules are called."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.RShift):
        return _made(node.left) >> _made(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        made = getattr(rules, node.func.id) if node.func.id in rules.__all__ else None
        if inspect.isfunction(made) and issubclass(get_type_hints(made).get("return", object), rules.Rule):
            named = {x.arg: ast.literal_eval(x.value) for x in node.keywords if x.arg}
            return made(*map(ast.literal_eval, node.args), **named)
    return parse_value(ast.unparse(node), "rule")
