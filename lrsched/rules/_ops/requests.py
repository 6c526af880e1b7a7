"""The sums and totals that the body of a rule asks of its context, one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from lrsched._spaces.ops import Array


class Request(NamedTuple):
    """A reduction that a body asks for."""

    kind: str  # "sums" or "total"
    arrays: list[Array]
    owners: list[int]

    def of(self, i: int, result: Any) -> Any:
        """Return the part of the result that tensor i sees."""
        if self.kind == "total":
            return result
        return [x for x, owner in zip(result, self.owners, strict=True) if owner == i]


class _Reached(Exception):  # no error: the way out of a body
    """A body has come to its first request that is not known."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.kind)
        self.request = request


def next_request(body: Callable[[Any], Any], context: Any, known: Sequence[Any]) -> Request | None:
    """Run a body no further than to its first reduction that is not known.

    Args:
        body: calls the body of a rule with the context that it is given.
        context: the context of the body.
        known: the results of the first reductions.

    Returns:
        The next request, or None if the body has no other.
    """

    def sums(arrays: Sequence[Array], owners: Sequence[int]) -> Any:
        raise _Reached(Request("sums", list(arrays), list(owners)))

    def total(arrays: Sequence[Array]) -> Any:
        raise _Reached(Request("total", list(arrays), list(range(len(arrays)))))

    try:
        body(replace(context, sums=sums, total=total).replaying(known))
    except _Reached as reached:
        return reached.request
    return None
