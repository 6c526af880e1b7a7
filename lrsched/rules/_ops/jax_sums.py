"""Sums of what a rule computes, taken ahead and piece by piece: for JAX on one CPU.

The norm of LAMB is that of its update, so the update is needed before its norm is known, and after. XLA keeps it in
between: where it compiles for the CPU, a reduction is a kernel of its own, which must be given an array. For a large
tensor that is fresh memory at every update, and the page faults take as long as the arithmetic. To compute the update
twice is quicker. A loop over pieces runs the body as far as its request of sums and adds the pieces up, lane by lane,
in an array that stays in the cache; then the whole body is run with the sums given, and nothing is kept.

Sums of squares of what the rule is given, as in LARS, read existing arrays: they are left as they are. So is everything
on more than one device, where the pieces of an array may lie on several of them.
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from lrsched.rules._ops.requests import Request, next_request

# A tensor of so many elements is cut, into pieces of about so many.
LARGE = 1 << 18
PIECE = 1 << 17
# Pieces are whole numbers of cache lines.
LINE = 16
SQUARES = ("mul", "square", "integer_pow")


class Inputs(NamedTuple):
    """The arrays of an update, in their own dtypes."""

    ps: list[Any]
    gs: list[Any]
    slots: list[Any]

    def only(self, i: int) -> "Inputs":
        """Return those of one tensor."""
        return Inputs([self.ps[i]], [self.gs[i]], [self.slots[i]])

    def mapped(self, function: Any) -> "Inputs":
        """Return `function` of each array."""
        found: Inputs = sys.modules["jax"].tree.map(function, self)
        return found


def ahead(rule: Any, context: Any, dtype: Any, given: Inputs) -> tuple[Any, list[Any]]:
    """Return a context that knows the sums of a rule, and the slots to go on with.

    Args:
        rule: the update rule.
        context: the update, of whole tensors.
        dtype: the working dtype.
        given: parameters, gradients and slots, as arrays of JAX.

    Returns:
        The context and the slots as they are, where there is nothing to gain.
    """
    large = [i for i, p in enumerate(given.ps) if p.size >= LARGE]
    if not large or not rule.packs or not _on_one_cpu(given):
        return context, given.slots
    update = _BodyCall(rule, context, dtype, given)
    plans: dict[int, list[list[bool]]] = {}
    alike: dict[Any, list[list[bool]]] = {}
    for i in large:
        kind = (context.ndims[i], given.ps[i].ndim == 0, context.spares(i))
        if kind not in alike:
            alike[kind] = update.only(i).plan()
        plans[i] = alike[kind]
    if not any(any(computed) for plan in plans.values() for computed in plan):
        return context, given.slots
    known: list[Any] = []
    requests: list[Request] = []
    last: dict[int, Any] = {}
    while (request := update.next(known)) is not None:
        found = list(request.arrays)
        for i, plan in plans.items():
            which = [n for n, computed in enumerate(plan[len(known)]) if computed]
            taken = [one.of(i, result) for one, result in zip(requests, known, strict=True)]
            places = [n for n, owner in enumerate(request.owners) if owner == i]
            for n, x in zip(which, update.only(i).summed(taken, which) if which else [], strict=True):
                found[places[n]] = last[i] = x
        known.append(_reduced(context, request, found))
        requests.append(request)
    slots = [
        _after(last[i], given.ps[i].shape, given.gs[i], own) if i in last else own for i, own in enumerate(given.slots)
    ]
    return context.replaying(known), slots


def _after(known: Any, shape: tuple[int, ...], g: Any, slots: Any) -> Any:
    """Return the slots of a tensor, to be read only when a sum is known.

    The next pass overwrites what the first one reads. XLA may else begin it before, and read copies in the first one.
    """
    jax = sys.modules["jax"]
    never = known * known < -1.0
    return jax.tree.map(lambda x: jax.numpy.where(never, g.astype(x.dtype), x) if x.shape == shape else x, slots)


def _reduced(context: Any, request: Request, found: Sequence[Any]) -> Any:
    """Return the result of a request, with the sums of some arrays in their place."""
    plain = [n for n, (x, array) in enumerate(zip(found, request.arrays, strict=True)) if x is array]
    sums = context.sums([request.arrays[n] for n in plain], [request.owners[n] for n in plain])
    result = list(found)
    for n, x in zip(plain, sums, strict=True):
        result[n] = x
    return sum(result) if request.kind == "total" else result


class _BodyCall(NamedTuple):
    """An update of some tensors."""

    rule: Any
    context: Any
    dtype: Any
    given: Inputs

    def only(self, i: int) -> "_BodyCall":
        """Return the update of one tensor."""
        return _BodyCall(self.rule, self.context.among([i]), self.dtype, self.given.only(i))

    def next(self, known: Sequence[Any], given: Inputs | None = None) -> Request | None:
        """Return the first request that is not known, or None if there is no other."""
        wide = (given or self.given).mapped(lambda x: x.astype(self.dtype))
        return next_request(lambda context: self.rule.body(context, *wide), self.context, known)

    def plan(self) -> list[list[bool]]:
        """Return for each request of one tensor and each of its arrays whether there is something to compute."""
        jax = sys.modules["jax"]
        shape = self.given.ps[0].shape
        one = jax.numpy.ones((), self.dtype)
        tiny = self.given.mapped(lambda x: jax.ShapeDtypeStruct((LINE,) if x.shape == shape else x.shape, x.dtype))
        found: list[list[bool]] = []
        known: list[Any] = []
        while True:
            requests: list[Request | None] = []

            def arrays(*given: Any, known: Any = known, requests: Any = requests) -> list[Any]:
                request = self.next(known, Inputs(*given))
                requests.append(request)
                return request.arrays if request else []

            graph = jax.make_jaxpr(arrays)(*tiny).jaxpr
            if requests[0] is None:
                return found
            found.append(_computed(graph))
            known.append(one if requests[0].kind == "total" else [one] * len(requests[0].arrays))

    def summed(self, known: Sequence[Any], which: Sequence[int]) -> list[Any]:
        """Return the sums of some of the arrays of the next request of one tensor."""
        jax = sys.modules["jax"]
        shape, size = self.given.ps[0].shape, self.given.ps[0].size
        count = max(size // PIECE, 1)
        length = size // count // LINE * LINE

        def arrays(begin: Any, length: int) -> list[Any]:
            def cut(x: Any) -> Any:
                return jax.lax.dynamic_slice_in_dim(x.reshape(-1), begin, length) if x.shape == shape else x

            request = self.next(known, self.given.mapped(cut))
            assert request is not None
            return [request.arrays[n] for n in which]

        def step(i: Any, lanes: list[Any]) -> list[Any]:
            return [a + x for a, x in zip(lanes, arrays(i * length, length), strict=True)]

        lanes = jax.lax.fori_loop(0, count, step, [jax.numpy.zeros(length, self.dtype)] * len(which))
        sums = [jax.numpy.sum(x) for x in lanes]
        if rest := size - count * length:
            sums = [a + jax.numpy.sum(x) for a, x in zip(sums, arrays(count * length, rest), strict=True)]
        return sums


def _computed(graph: Any) -> list[bool]:
    """Return for each result whether it is more than the square of something given."""
    made = {id(x): equation for equation in graph.eqns for x in equation.outvars}
    found = []
    for x in graph.outvars:
        equation = made.get(id(x))
        square = equation is None or equation.primitive.name in SQUARES
        found.append(not square or (equation is not None and any(id(y) in made for y in equation.invars)))
    return found


def _on_one_cpu(given: Inputs) -> bool:
    """Return whether JAX compiles, and for nothing but one CPU."""
    jax = sys.modules["jax"]
    if not any(isinstance(x, jax.core.Tracer) for x in [*given.ps, *given.gs]):
        return False
    manual = getattr(jax.sharding, "get_abstract_mesh", None)
    return jax.default_backend() == "cpu" and jax.device_count() == 1 and not (manual and manual().manual_axes)
