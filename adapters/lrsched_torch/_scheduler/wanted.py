"""What arguments and saved states of schedulers must be, in one sentence if they are not."""

import reprlib
from numbers import Real
from typing import Any

import torch

from lrsched import Template
from lrsched.arguments import instead, short

# Float64 counts exactly to here, and so does a schedule.
MOST = 2**53


def wrong(kind: type[Exception], where: str, must: str, value: Any) -> Exception:
    """Return an error: where, what must hold, what came, cut short however deep or long it is."""
    told = short(value) if isinstance(value, Template) else reprlib.repr(value)
    return kind(f"{where} must be {must}, got {told}{instead(value)}")


def whole(where: str, value: Any, low: int = -1, kind: type[Exception] = TypeError) -> int:
    """Return an int, also of a float that is whole.

    Args:
        where: function and argument.
        value: what came.
        low: the smallest that is allowed.
        kind: the error if it is no number.

    Raises:
        TypeError: it is no number, unless `kind` says otherwise.
        ValueError: it is not whole, or beyond the limits.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise wrong(kind, where, "an int", value)
    found: Any = value
    if not low <= found <= MOST:  # NaN is neither
        raise wrong(ValueError, where, "an int" if found != found else f"an int >= {low} and <= 2**53", value)
    if found != int(found):
        raise wrong(ValueError, where, "an int", value)
    return int(found)


def number(where: str, value: Any, kind: type[Exception] = TypeError) -> float:
    """Return a float, of a tensor of one element too; NaN and infinities are numbers.

    Args:
        where: function and argument.
        value: what came.
        kind: the error if it is none.

    Raises:
        TypeError: it is none, unless `kind` says otherwise.
    """
    plain = value.detach() if isinstance(value, torch.Tensor) else value
    # NumPy's arrays, and what is like them.
    listed = getattr(getattr(plain, "dtype", None), "kind", "") in ("f", "i", "u")
    if isinstance(plain, Real | torch.Tensor) or listed:
        try:
            if type(plain) is not bool:
                return float(plain)
        except (OverflowError, RuntimeError, TypeError, ValueError):
            pass
    raise wrong(kind, where, "a number or a tensor of one element", value)


def exactly(kind: type[Any], where: str, value: Any, error: type[Exception] = TypeError) -> Any:
    """Return a value of one kind.

    Raises:
        TypeError: it is of another, unless `error` says otherwise.
    """
    if not isinstance(value, kind):
        raise wrong(error, where, f"a {kind.__name__}", value)
    return value
