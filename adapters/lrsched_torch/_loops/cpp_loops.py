"""Updates on a CPU by a library that walks over parameters, gradients and slots where they lie: nothing is gathered.

A weight comes from `_shared/jobs.py` with its state and its gradient, and joins those of the same dtypes in a table of
addresses (`table.py`). From then on a step in which only gradients are new is `again`: one call looks whether all else
still lies where the table says (`unmoved.py`), and a rule of one pass is done in that call too. After any other change
`prepare` brings the tables up to date. Between passes that need a total over all tensors, those of all tables are
added.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._loops.build import compiler
from lrsched_torch._loops.table import LoopTable
from lrsched_torch._shared.compiling import CPP, CPP_ALONE, OPENMP, Ways
from lrsched_torch._shared.entries import check_members
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._shared.jobs import Executor
from lrsched_torch._shared.update import Member

# Elements from which on a second of the compiler has paid after some hundred updates, and how many a tensor counts for.
WORTH, EACH = 2**20, 2**10
_dtype = attrgetter("dtype")


def worthwhile(ps: Sequence[Tensor]) -> bool:
    """Return whether there is a compiler, and so much to update that it soon pays to call it."""
    return sum(p.numel() + EACH for p in ps) >= WORTH and compiler() is not None


class CppLoops(Executor):
    """Does the updates of one rule on a CPU.

    Args:
        rule: a rule that packs.
        ways: what has been found out about the ways to run it.
        resident: whether parameters stay at their place in memory, and gradients while their list is the same.
    """

    def __init__(self, rule: rules.Rule, ways: Ways, *, resident: bool) -> None:
        self.rule, self.ways, self.resident = rule, ways, resident
        self.engine = CPP
        self._members: list[Member] = []
        self._gs: list[Tensor] = []
        self._dtypes: list[torch.dtype] = []
        self._tables: list[LoopTable] = []

    def again(self, *, alone: bool) -> bool:
        """Get ready for one more update of the same members; return False if more than their gradients is new."""
        return bool(self._tables) and all(table.again(alone=alone) for table in self._tables)

    def release(self) -> None:
        """Let go of gradients that `again` has found."""
        for table in self._tables:
            table.release()

    def __call__(self, members: list[Member], gs: list[Tensor]) -> None:
        """Do one update of the members."""
        totals: list[float] = []
        for i in range(self._tables[0].stages if self._tables else 0):
            found = [table.run(i, totals) for table in self._tables]
            totals += map(sum, zip(*found, strict=True))
        for table in self._tables:
            table.finish()

    def prepare(self, members: list[Member], gs: list[Tensor]) -> None:
        """Bring the tables up to date; the same lists stand for the same members and gradients."""
        again = members is not self._members or not all(table.fits() for table in self._tables)
        if again or gs is not self._gs or not all(table.holds_gradients() for table in self._tables):
            dtypes = list(map(_dtype, gs))
            if again or dtypes != self._dtypes:
                self._plan(members, dtypes)
            for table in self._tables:
                table.point_gradients(gs)
            self._gs = gs if self.resident else []
        for table in self._tables:
            table.point_parameters()

    def _plan(self, members: list[Member], dtypes: list[torch.dtype]) -> None:
        """Put members that one library updates together."""
        check_members(self.rule, members)
        facts = facts_of(self.rule)
        found: dict[Any, list[int]] = {}
        for i, (member, dtype) in enumerate(zip(members, dtypes, strict=True)):
            kept = tuple(member.state[name].dtype for name in facts.names)
            key = (member.p.dtype, dtype, kept, "master" in member.state, bool(member.group["maximize"]))
            found.setdefault(key, []).append(i)
        self._tables = [
            LoopTable(
                self.rule, [members[i] for i in own], own, *key,
                ranked=facts.ranked, resident=self.resident, sole=len(found) == 1,
            )
            for key, own in found.items()
        ]  # fmt: skip
        self._members, self._dtypes = members, dtypes
        for table in self._tables:
            if table.lacks:
                self.engine, self.ways.failed[OPENMP] = CPP_ALONE, table.lacks
