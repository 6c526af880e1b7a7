"""The body of a rule as the passes over its arrays that it takes: one, or one for each request of sums and a last one.

Where a pass has to know the sums of a tensor that lies in several blocks, what was computed before is computed again,
or kept: what is finished is written by the earlier pass, and one array in between may be kept for the last one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lrsched._spaces.ops import Array, Ops
from lrsched.rules._blocks.memory import Library
from lrsched.rules._blocks.tape import Program, Sums, Tape, Traced, needed_for, program
from lrsched.rules._ops.context import Context
from lrsched.rules._ops.slots import flat, refilled

# What fewer operations make is not kept.
CHEAP = 2


@dataclass(frozen=True)
class Update:
    """What all tensors of an update share.

    Args:
        rule: what to do.
        xp: the operations of the library.
        library: the others.
        wide: the working dtype of the body.
        add: True for new parameters, False for what to add to the old ones.
        donate: whether results may be written into the arrays given.
        gs: the gradients.
        olds: the parameters, and for each array of the slots those of all tensors.
        dtypes: of the slots of each tensor, when done.
        uniform: whether all arrays are of the dtype `wide`.
        news: lists like `olds`, for the results.
    """

    rule: Any
    xp: Ops
    library: Library
    wide: Any
    add: bool
    donate: bool
    gs: Sequence[Array]
    olds: Sequence[Sequence[Array]]
    dtypes: Sequence[Any]
    uniform: bool
    news: list[Any]


@dataclass(frozen=True)
class Pass:
    """One pass over the blocks of a tensor.

    Args:
        do: what is done to each block.
        asked: the sums that are taken; None in the last pass.
        terms: where they find their terms.
        outs: what the first arrays wanted are: result j, or, after all results, what is kept.
        given: `(place, j)` of what an earlier pass has written and this one reads.
    """

    do: Program
    asked: Sums | None
    terms: tuple[tuple[int, ...], ...]
    outs: tuple[int, ...]
    given: tuple[tuple[int, int], ...]


class Recording:
    """The body as recorded for tensors of one number of dimensions, one learning rate and one step.

    Args:
        update: what all tensors share.
        context: learning rate and step.
        ndim: dimensions of the tensors.
        slots: those of one tensor.
        numbers: for each array of the slots, whether it is one number a tensor.
        whole: every tensor lies within one block.
    """

    def __init__(
        self, update: Update, context: Context, ndim: int, slots: Any, numbers: Sequence[bool], whole: bool
    ) -> None:
        library = update.library
        self.tape = tape = Tape(update.xp, whole, library.dots)
        p, g, *olds = [tape.new(number) for number in (False, False, *numbers)]
        given = refilled(slots, iter(olds))
        (u,), (new,) = update.rule.body(tape.context(context, ndim), [p], [g], [given])
        # What is handed on as it came needs a copy, for its memory may be written before.
        news = [tape.record("copy", x) if any(x is old for old in (p, g, *olds)) else x for x in flat(new)]
        # The parameter last: until then the gradient may lie in its memory.
        result = tape.record("subtract", p, u) if update.add else tape.record("negative", u)
        self.results = [tape.place(x) for x in (result, *news)]
        if library.combines:
            tape.combine()
        self.g = g.index
        self.inputs = [p.index, *(x.index for x in olds)]
        # Exponents stay Python numbers, and so does what a formula is to give.
        self.raw = {place for one in tape.operations if one.name == "power" for place in one.inputs}
        self.constants = {
            place: number if place in self.raw or isinstance(number, Traced) else library.constant(number, update.wide)
            for place, number in tape.constants.items()
        }
        own = {*self.inputs, self.g, *(one.output for one in tape.operations)}
        # Whether each element is computed from those at its place, and numbers that are the same for all tensors.
        self.elementwise = (
            not tape.reductions and not any(one.number for one in tape.operations) and own.issuperset(self.results)
        )
        self.totals = sum(one.total for one in tape.reductions)
        self._known: dict[Any, tuple[Pass, ...]] = {}

    def passes(self, direct: Sequence[bool], in_place: Sequence[bool], room: bool) -> tuple[Pass, ...]:
        """Return the passes.

        Args:
            direct: for each result, whether an operation may write it.
            in_place: for each result, whether it takes the memory of what it replaces.
            room: there is memory to keep an array in, that of the first result if this is not that of the parameter.
        """
        key = (*direct, *in_place, room)
        if key not in self._known:
            self._known[key] = tuple(self._planned(direct, in_place, room))
        return self._known[key]

    def _planned(self, direct: Sequence[bool], in_place: Sequence[bool], room: bool) -> Iterable[Pass]:
        overwritten = [place if own else None for place, own in zip(self.inputs, in_place, strict=True)]
        early, kept = self._kept(direct, overwritten) if room else ([], [])
        # By number: the results, and what is kept.
        places, direct = [*self.results, *kept], [*direct, *(True for _ in kept)]
        overwritten += [None for _ in kept]
        written = [*early, *range(len(self.results), len(places))]
        for asked in self.tape.reductions:
            outs = written if asked is self.tape.reductions[-1] else []
            terms = [place for term in asked.terms for place in term]
            do = program(
                self.tape,
                [*(places[j] for j in outs), *terms],
                [*(direct[j] for j in outs), *(False for _ in terms)],
                [*(overwritten[j] for j in outs), *(None for _ in terms)],
            )
            rest = iter(do.wanted[len(outs) :])
            yield Pass(do, asked, tuple(tuple(next(rest) for _ in term) for term in asked.terms), tuple(outs), ())
        if kept and not in_place[0]:
            overwritten[0] = kept[0]
        late = [j for j in range(len(self.results)) if j not in early]
        given = {places[j]: j for j in written}
        do = program(
            self.tape,
            [places[j] for j in late],
            [direct[j] for j in late],
            [overwritten[j] for j in late],
            list(given),
        )
        found = tuple((place, j) for place, j in given.items() if place in do.reads)
        yield Pass(do, None, (), tuple(late), found)

    def _kept(self, direct: Sequence[bool], overwritten: Sequence[int | None]) -> tuple[list[int], list[int]]:
        """Return which results the pass of the last sums can write, and the place of what it keeps besides."""
        final = self.tape.reductions[-1] if self.tape.reductions else None
        if final is None or final.total:
            return [], []
        before, after = self.tape.operations[: final.after], self.tape.operations[final.after :]
        used = {place for one in needed_for(after, self.results) for place in one.inputs} | set(self.results)
        made = [one.output for one in before if one.output in used and not one.number]
        early = [i for i, place in enumerate(self.results) if place in made and self.results.count(place) == 1]
        kept = [place for place in made if place not in self.results]
        again = [one for one in needed_for(before, kept) if not one.number]
        # All is computed again with more to keep, or where what is overwritten is read again, or what is rounded.
        if not all(direct[i] for i in early):
            return [], []
        if len(kept) != 1 or len(again) <= CHEAP or used & {overwritten[i] for i in early}:
            return [], []
        return early, kept
