"""What the recipes share: texts know them, and parts of their steps are numbers of steps."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec, TypeVar

from lrsched._core.offers import CALLS
from lrsched._curves import StepsOrPart
from lrsched.arguments import checked

P = ParamSpec("P")
R = TypeVar("R")

# A number of updates, or a part of `steps`: below 1 a part, from 1 (and 1.0) on updates.
CountOrPart = Annotated[float, StepsOrPart()]
LengthOrPart = Annotated[float, StepsOrPart(low=1)]


def recipe(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a recipe, and let texts call it."""
    built = checked(function)
    CALLS.setdefault("schedule", {})[function.__name__] = built
    return built


def renamed(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Take old names of arguments, `old="new"`, with a warning."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in names.keys() & kwargs.keys() - {old for old, new in names.items() if new in kwargs}:
                new = names[old]
                warnings.warn(
                    f"{function.__name__}({old}=...) is now {function.__name__}({new}=...)",
                    DeprecationWarning,
                    stacklevel=2,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
