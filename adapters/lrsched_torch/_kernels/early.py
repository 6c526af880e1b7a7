"""Slots that a rule with norms can write in the pass that adds up its last norms, so that the last pass reads less.

LAMB needs the gradient for its moments only. If the pass of the norms writes the moments, the last one has them from
there, and 40 bytes are moved for each parameter instead of 44.

An operation that makes a new slot moves with its store from the last pass (`last`) to the one before (`before`); where
the last pass needs the result, it reads the slot. Not if it needs the old content too, nor if more would be moved.
"""

from collections.abc import Mapping
from typing import Any

from lrsched_torch._traced.program import Level, LoopPhase, LoopProgram, loads, needed


def early_slots(program: LoopProgram) -> LoopProgram:
    """Return the program with slots written early where that moves less."""
    if not program.known:
        return program
    *rest, before, last = program.phases
    unknown, levels = {*program.known[-1]}, {op.name: op.level for op in last.operations}
    chosen = {
        label: str(value)
        for label, value in last.stores
        if label in program.wide and label not in ("p", "low") and levels.get(str(value)) == Level.WIDE
        if not any(unknown & {*op.args} for op in needed(last.operations, [value]))
    }
    finish, stale = _finished(last, chosen)
    while stale:
        chosen = {label: value for label, value in chosen.items() if label not in stale}
        finish, stale = _finished(last, chosen)
    made = {op.name: op for op in (*before.operations, *needed(last.operations, chosen.values()))}
    start = before._replace(operations=tuple(made.values()), stores=tuple(chosen.items()))
    found = program._replace(phases=(*rest, start, finish))
    return found if _moves(found) < _moves(program) else program


def _finished(last: LoopPhase, chosen: Mapping[str, str]) -> tuple[LoopPhase, set[str]]:
    """Return the last pass that finds the new contents of slots, and the slots whose old contents it still needs."""
    names: dict[Any, str] = {value: label for label, value in chosen.items()}
    stores = tuple((label, value) for label, value in last.stores if label not in chosen)
    kept = needed([op for op in last.operations if op.name not in names], [value for _, value in stores])
    stale = {*chosen} & last._replace(operations=kept, stores=stores).later(Level.OWN)
    renamed = tuple(op._replace(args=tuple(names.get(x, x) for x in op.args)) for op in kept)
    return LoopPhase(renamed, (), False, tuple((label, names.get(value, value)) for label, value in stores)), stale


def _moves(program: LoopProgram) -> int:
    """Return how many arrays the passes read and write; a slot has at least as many bytes as the others."""
    return sum(len([*loads(phase, program), *phase.stores]) for phase in program.phases)
