"""What the body of a rule gets from outside: array operations, scalars, original ranks, and the reductions.

A body never sums over elements itself; it asks the context, so one body serves every layout:

* a list of tensors: a sum is the sum of the tensor;
* rows: every tensor padded with zeros to whole rows of one `(R, 1024)` buffer, the only array of the list; a sum is a
  row sum, a segment sum over the rows of each tensor and a gather, of shape `(R, 1)`;
* shards: a sum is the sum of the shard, then one all-reduce for all the sums of a call.

The reductions of a body come in a fixed order that depends on no array value. So a first pass can go no further than to
the first sums (`next_reduction`) and the next one be told them (`replaying`), with no array kept between them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from lrsched._spaces.ops import Array, Ops
from lrsched.rules._ops.jax_sums import Inputs, ahead

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Context:
    """One update as the body of a rule sees it.

    Its arrays are all of one dtype, float32 or float64.

    Args:
        xp: the operations of the array library.
        lr: learning rate; a Python number, a 0-d array, or what broadcasts against the arrays. None if tensors differ
            in it or in the step: ask `at(i).lr`.
        step: updates done before this one; a Python int, a 0-d floating-point array, or what broadcasts. None likewise.
        ndims: for each array its original number of dimensions: an int, or, where one array packs several tensors,
            an integer array that broadcasts against it.
        sums: `sums(arrays, owners)` returns the sum of each tensor, to broadcast against the array; `owners[i]` says
            to which parameter, by index, `arrays[i]` belongs.
        total: `total(arrays)`, with one array for each parameter, returns the sum over all of them, a 0-d array.
        each: if the tensors differ in learning rate or step, the context of each.
        spared: whether weight decay leaves each array alone; empty if it spares none.
    """

    xp: Ops
    lr: Any
    step: Any
    ndims: tuple[Any, ...]
    sums: Callable[[Sequence[Array], Sequence[int]], list[Array]]
    total: Callable[[Sequence[Array]], Array]
    each: "tuple[Context, ...]" = ()
    spared: tuple[bool, ...] = ()

    @classmethod
    def of_list(cls, xp: Ops, ndims: Sequence[int], lr: Any, step: Any) -> "Context":
        """Return the context of a list of whole tensors.

        `lr` and `step` may be lists, with one for each tensor.
        """

        def sums(arrays: Sequence[Array], owners: Sequence[int]) -> list[Array]:
            return [xp.total(x) for x in arrays]

        def total(arrays: Sequence[Array]) -> Array:
            return sum(xp.total(x) for x in arrays)

        common = cls(xp, lr, step, tuple(ndims), sums, total)
        if not isinstance(lr, list) and not isinstance(step, list):
            return common
        lrs, steps = (x if isinstance(x, list) else [x] * len(ndims) for x in (lr, step))
        # Equal ones share a context, and so what a rule computes of it once.
        each = shared(
            [(lr, step) for lr, step in zip(lrs, steps, strict=True)],
            lambda a, b: _same(a[0], b[0]) and _same(a[1], b[1]),
            lambda pair: replace(common, lr=pair[0], step=pair[1]),
        )
        alike = all(one is each[0] for one in each)
        return each[0] if alike else replace(common, lr=None, step=None, each=tuple(each))

    def at(self, i: int) -> "Context":
        """Return the context with the learning rate and the step of tensor i; tensors of equal ones share it."""
        return self.each[i] if self.each else self

    def among(self, indices: Sequence[int]) -> "Context":
        """Return the context of some of the tensors, by index, as if the others were not there."""

        def sums(arrays: Sequence[Array], owners: Sequence[int]) -> list[Array]:
            return self.sums(arrays, [indices[owner] for owner in owners])

        def total(arrays: Sequence[Array]) -> Array:
            everyone = [self.xp.full(arrays[0], 0.0, (), arrays[0].dtype)] * len(self.ndims)
            for i, x in zip(indices, arrays, strict=True):
                everyone[i] = x
            return self.total(everyone)

        return replace(
            self,
            ndims=tuple(self.ndims[i] for i in indices),
            sums=sums,
            total=total,
            each=tuple(self.each[i] for i in indices) if self.each else (),
            spared=tuple(self.spared[i] for i in indices) if self.spared else (),
        )

    def spares(self, i: int) -> bool:
        """Return whether weight decay leaves array i alone."""
        return bool(self.spared) and self.spared[i]

    def decays(self, i: int, min_ndim: int) -> Any:
        """Return the mask of what decays of array i: tensors of so many dimensions, unless they are spared."""
        return not self.spares(i) and self.ndims[i] >= min_ndim

    def at_rate(self, lr: float) -> "Context":
        """Return the same update at another learning rate."""
        return self._changed(lambda one: replace(one, lr=lr))

    def scaled(self, factor: float) -> "Context":
        """Return the same update at `factor` times the learning rate."""
        return self._changed(lambda one: one if one.lr is None else replace(one, lr=factor * one.lr))

    def paced(self, warmup: int, decay: float) -> "Context":
        """Return the same update at `min((step + 1) / warmup, 1) / (1 + decay * step)` times the learning rate."""
        return self._changed(lambda one: one if one.lr is None else replace(one, lr=one.lr * one._pace(warmup, decay)))

    def _pace(self, warmup: int, decay: float) -> Any:
        done = self.step + 1
        least = min(done, warmup) if isinstance(done, int) else self.xp.minimum(done, float(warmup))
        return (least / warmup if warmup else 1.0) / (1.0 + decay * self.step)

    def later(self) -> "Context":
        """Return the update after this one."""
        return self._changed(lambda one: one if one.step is None else replace(one, step=one.step + 1))

    def _changed(self, change: "Callable[[Context], Context]") -> "Context":
        return replace(change(self), each=tuple(shared(self.each, lambda a, b: a is b, change)))

    def correction(self, b: float) -> Any:
        """Return `1 - b**(step + 1)`, what a zero-initialised average with decay `b` has forgotten.

        Through `expm1`: in float32 the plain form loses 4 digits at b = 0.999.
        """
        if b == 0.0:
            return 1.0
        exponent = (self.step + 1) * math.log(b)
        return -math.expm1(exponent) if isinstance(exponent, float) else -self.xp.expm1(exponent)

    def root(self, scalar: Any) -> Any:
        """Return the square root of a Python number or of an array."""
        # A tuple: torch 2.9 does not trace `int | float`.
        return math.sqrt(scalar) if isinstance(scalar, (int, float)) else self.xp.sqrt(scalar)

    def started(self) -> Any:
        """Return 0 at the first update and 1 at every later one."""
        return min(self.step, 1) if isinstance(self.step, int) else self.xp.minimum(self.step, 1.0)

    def choose(self, mask: Any, yes: Any, no: Any) -> Any:
        """Return `yes` where the mask holds and `no` elsewhere; a mask of one tensor is True or False."""
        return (yes if mask else no) if isinstance(mask, bool) else self.xp.where(mask, yes, no)

    def ahead(
        self, rule: Any, dtype: Any, ps: Sequence[Array], gs: Sequence[Array], slots: Sequence[Any]
    ) -> "tuple[Context, Sequence[Any]]":
        """Return this context and the slots, with those sums known that it is quicker to take ahead.

        Args:
            rule: the rule to be run.
            dtype: the working dtype.
            ps: parameters, in their own dtypes.
            gs: gradients, in their own dtypes.
            slots: slots, in their own dtypes.
        """
        if self.xp.name != "jax":
            return self, slots
        return ahead(rule, self, dtype, Inputs(list(ps), list(gs), list(slots)))

    def replaying(self, taken: Sequence[Any]) -> "Context":
        """Return this context with the results of the first reductions given, in the order of the body."""
        rest: Iterator[Any] = iter(taken)

        def sums(arrays: Sequence[Array], owners: Sequence[int]) -> Any:
            for result in rest:
                return result
            return self.sums(arrays, owners)

        def total(arrays: Sequence[Array]) -> Any:
            for result in rest:
                return result
            return self.total(arrays)

        return replace(self, sums=sums, total=total)


def shared(items: Sequence[T], same: Callable[[T, T], bool], make: Callable[[T], R]) -> list[R]:
    """Return `make(item)` for each item, made once for items that are the same.

    By comparison, not by `id`, which compilers would take for a constant.
    """
    known: list[tuple[T, R]] = []
    made = []
    for item in items:
        found = next((one for one in known if same(one[0], item)), None)
        if found is None:
            found = (item, make(item))
            known.append(found)
        made.append(found[1])
    return made


def _same(a: Any, b: Any) -> bool:
    """Return whether two scalars are the same array, or equal numbers."""
    return a is b or (isinstance(a, (int, float)) and isinstance(b, (int, float)) and a == b)
