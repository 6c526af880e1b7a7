"""Methods that `torch.compile` runs as they are."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def untraced(method: Callable[P, T]) -> Callable[P, T]:
    """Return a method that interrupts the graph of a compiled function that calls it, instead of being part of it.

    The compiler is imported only where it is at work.
    """

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if torch.compiler.is_compiling():
            return torch.compiler.disable(method)(*args, **kwargs)  # type: ignore[no-untyped-call,no-any-return]
        return method(*args, **kwargs)

    return call
