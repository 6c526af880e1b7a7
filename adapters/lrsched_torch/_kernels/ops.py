"""Operations of a rule as expressions of Triton, rounded as PyTorch rounds them, or done by PyTorch.

What is computed for each element or tensor becomes text for `source.py`. What follows from learning rate and step alone
is computed here and now, by `computed`, on a column with a number for each of these.
"""

from collections.abc import Iterable

import torch

from lrsched_torch._traced.graphs import Env
from lrsched_torch._traced.program import Const, LoopOperation

TYPES = {
    torch.float16: "tl.float16",
    torch.bfloat16: "tl.bfloat16",
    torch.float32: "tl.float32",
    torch.float64: "tl.float64",
}
_FORMS = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "rsub": "{1} - {0}", "mul": "{0} * {1}", "div": "{0} / {1}", "neg": "-{0}",
    "abs": "tl.abs({0})", "sign": "({0} > 0.0).to(T) - ({0} < 0.0).to(T)", "sqrt": "tl.sqrt({0})",
    "reciprocal": "1.0 / {0}",
    # In float64, as the exponent multiplies the error of the logarithm; of a whole one the base may be negative.
    "pow": "tl.exp2({1} * tl.log2({0}.to(tl.float64))).to(T)",
    "maximum": "tl.maximum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)",
    "minimum": "tl.minimum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)",
    "where": "tl.where({0}, {1}, {2})", "isnan": "{0} != {0}", "and": "{0} & {1}", "or": "{0} | {1}", "not": "~{0}",
    "gt": "{0} > {1}", "ge": "{0} >= {1}", "lt": "{0} < {1}", "le": "{0} <= {1}", "eq": "{0} == {1}",
    "ne": "{0} != {1}",
}  # fmt: skip
# Where the plain sign or function is not correctly rounded.
_SINGLE = {"div": "tl.div_rn({0}, {1})", "reciprocal": "tl.div_rn(tl.full((), 1.0, T), {0})", "sqrt": "tl.sqrt_rn({0})"}
# The operations in which a number is not typed by what it meets.
_TYPED = ("div", "maximum", "minimum", "where", "clamp")
_NAMES = {"and": "logical_and", "or": "logical_or", "not": "logical_not"}


def untranslated(used: object) -> NotImplementedError:
    """Return the error about what a rule uses."""
    return NotImplementedError(
        f"RuleOptimizer(compile=...) must be True or False for a rule that uses {used}, which has no translation to "
        "Triton, got 'triton'"
    )


def operand(x: str | Const, work: torch.dtype, typed: bool = True) -> str:
    """Return a name, or a constant of the dtype of the arithmetic or of none."""
    if isinstance(x, str):
        return x
    number = repr(float(x)).replace("inf", 'float("inf")').replace("nan", 'float("nan")')
    return f"tl.full((), {number}, {TYPES[work]})" if typed else number


def expression(op: LoopOperation, work: torch.dtype) -> str:
    """Return what an operation computes.

    Args:
        op: one of elements or of numbers.
        work: dtype of the arithmetic, float32 or float64.

    Raises:
        NotImplementedError: there is no translation.
    """
    forms = _FORMS | (_SINGLE if work == torch.float32 else {})
    args = [x if x is None else operand(x, work, i == 0 or op.kind in _TYPED) for i, x in enumerate(op.args)]
    if op.kind == "clamp":
        text = str(args[0])
        for kind, bound in zip(("maximum", "minimum"), args[1:], strict=False):
            text = text if bound is None else forms[kind].format(text, bound)
        return text
    exponent = op.args[1] if op.kind == "pow" else 0.5
    if isinstance(exponent, float | int) and exponent in range(9):
        return " * ".join([str(args[0])] * int(exponent)) or operand(1.0, work)
    if op.kind not in forms or not isinstance(exponent, float) or exponent.is_integer():
        raise untranslated(op.kind)
    return forms[op.kind].format(*args).replace("T)", f"{TYPES[work]})")


def computed(operations: Iterable[LoopOperation], env: Env) -> Env:
    """Return what is known and what follows from it, in float64."""
    found = dict(env)
    for op in operations:
        args = [
            found[x] if isinstance(x, str)
            # Neither a first operand nor both may be numbers.
            else torch.full((), x, dtype=torch.float64, device=env["lr"].device)
            if x is not None and (i == 0 or op.kind in _TYPED)
            else x
            for i, x in enumerate(op.args)
        ]  # fmt: skip
        found[op.name] = getattr(torch, _NAMES.get(op.kind, op.kind))(*args)
    return found
