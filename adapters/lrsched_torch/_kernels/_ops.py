"""Operations of the graphs of a rule as expressions of Triton, rounded as PyTorch rounds them."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

TYPES = {
    torch.float16: "tl.float16",
    torch.bfloat16: "tl.bfloat16",
    torch.float32: "tl.float32",
    torch.float64: "tl.float64",
}
# An operand as text. A number is typed by what it meets, or, if asked for, by the working dtype.
Operand = Callable[..., str]

_BINARY = {
    "add.Tensor": "+",
    "sub.Tensor": "-",
    "mul.Tensor": "*",
    "bitwise_and.Tensor": "&",
    "bitwise_or.Tensor": "|",
    "logical_and.default": "&",
    "logical_or.default": "|",
    **{
        f"{name}.{kind}": sign
        for name, sign in {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}.items()
        for kind in ("Scalar", "Tensor")
    },
}


def expression(node: Node, work: torch.dtype) -> str:
    """Return what a node computes.

    Args:
        node: an operation of a graph; its inputs are known by their names.
        work: dtype of the arithmetic, float32 or float64.

    Raises:
        NotImplementedError: there is no translation.
    """
    name = str(node.target).removeprefix("aten.")

    def text(x: Any, typed: bool = False) -> str:
        if isinstance(x, Node):
            return x.name
        if isinstance(x, bool) or not isinstance(x, int | float):
            raise _unknown(node)
        number = repr(float(x)) if math.isfinite(x) else f'float("{float(x)}")'
        return f"tl.full((), {number}, {TYPES[work]})" if typed else number

    kept = {key: x for key, x in node.kwargs.items() if key not in ("dtype", "layout", "device", "pin_memory")}
    if not kept:
        if name in _BINARY and len(node.args) == 2:
            return f"{text(node.args[0])} {_BINARY[name]} {text(node.args[1])}"
        if name in _CALLS:
            return _CALLS[name](text, work, *node.args)
        dtype: Any = node.kwargs.get("dtype")
        if name == "_to_copy.default" and dtype in TYPES:
            return f"{text(node.args[0])}.to({TYPES[dtype]})"
        if name in ("scalar_tensor.default", "full.default") and dtype in TYPES and node.args[0] in ([], node.args[-1]):
            return f"tl.full((), {text(node.args[-1])}, {TYPES[dtype]})"
    raise _unknown(node)


def _unknown(node: Node) -> NotImplementedError:
    return NotImplementedError(
        f"RuleOptimizer(compile=...) must be True or False for a rule that uses {node.target}, which has no "
        f"translation to Triton, got 'triton' ({node.format_node()})"
    )


def _divided(text: Operand, work: torch.dtype, a: Any, b: Any) -> str:
    # The plain sign is not correctly rounded in float32.
    if work == torch.float64:
        return f"{text(a, True)} / {text(b)}"
    return f"tl.div_rn({text(a, True)}, {text(b, True)})"


def _root(text: Operand, work: torch.dtype, x: Any) -> str:
    return f"tl.sqrt({text(x)})" if work == torch.float64 else f"tl.sqrt_rn({text(x)})"


def _larger(text: Operand, work: torch.dtype, a: Any, b: Any) -> str:
    return f"tl.maximum({text(a, True)}, {text(b, True)}, propagate_nan=tl.PropagateNan.ALL)"


def _smaller(text: Operand, work: torch.dtype, a: Any, b: Any) -> str:
    return f"tl.minimum({text(a, True)}, {text(b, True)}, propagate_nan=tl.PropagateNan.ALL)"


def _clamped(text: Operand, work: torch.dtype, x: Any, low: Any = None, high: Any = None) -> str:
    found = text(x)
    if low is not None:
        found = f"tl.maximum({found}, {text(low, True)}, propagate_nan=tl.PropagateNan.ALL)"
    if high is not None:
        found = f"tl.minimum({found}, {text(high, True)}, propagate_nan=tl.PropagateNan.ALL)"
    return found


def _power(text: Operand, work: torch.dtype, x: Any, exponent: Any) -> str:
    if exponent == 2:
        return f"{text(x)} * {text(x)}"
    # In float64, as the exponent multiplies the error of the logarithm.
    return f"tl.exp2({exponent!r} * tl.log2({text(x)}.to(tl.float64))).to({TYPES[work]})"


_CALLS: dict[str, Callable[..., str]] = {
    "abs.default": lambda text, work, x: f"tl.abs({text(x)})",
    "bitwise_not.default": lambda text, work, x: f"~{text(x)}",
    "clamp.default": _clamped,
    "div.Tensor": _divided,
    "isnan.default": lambda text, work, x: f"{text(x)} != {text(x)}",
    "logical_not.default": lambda text, work, x: f"~{text(x)}",
    "maximum.default": _larger,
    "minimum.default": _smaller,
    "neg.default": lambda text, work, x: f"-{text(x)}",
    "pow.Tensor_Scalar": _power,
    "reciprocal.default": lambda text, work, x: _divided(text, work, 1.0, x),
    "rsub.Scalar": lambda text, work, x, other: f"{text(other)} - {text(x)}",
    "sign.default": lambda text, work, x: f"({text(x)} > 0.0).to({TYPES[work]}) - ({text(x)} < 0.0).to({TYPES[work]})",
    "sqrt.default": _root,
    "where.self": lambda text, work, mask, yes, no: f"tl.where({text(mask)}, {text(yes, True)}, {text(no, True)})",
}
