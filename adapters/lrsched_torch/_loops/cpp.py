"""The passes of a rule as C++; `walk.h` walks with them over a list of tensors, by all threads of torch.

Each pass of a program (`_traced/program.py`) becomes a struct of four functions: `key` computes what follows from
learning rate and step, once for all tensors; `own` what a tensor needs once, as its trust ratio; `wide` is the loop
that loads an element of parameter, gradient and slots, computes and stores it; `after` makes results of the sums of a
tensor. `build.py` compiles the text, and `table.py` calls it.

Elements are computed in the working dtype; what there is one of for each tensor, and sums, in float64. A sum is taken
over pieces of fixed length and in a fixed order, so that it does not depend on the number of threads.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from lrsched_torch._traced.graphs import KEY
from lrsched_torch._traced.program import (
    TRUTHS,
    Const,
    Level,
    LoopOperation,
    LoopPhase,
    LoopProgram,
    Unsupported,
    loads,
    stages_of,
)

TYPES = {torch.float32: "float", torch.float64: "double", torch.bfloat16: "bfloat16", torch.float16: "_Float16"}
_FORMS = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "rsub": "{1} - {0}", "mul": "{0} * {1}", "div": "{0} / {1}", "neg": "-{0}",
    "abs": "std::fabs({0})", "sign": "T({0} > T(0)) - T({0} < T(0))", "sqrt": "std::sqrt({0})",
    "rsqrt": "T(1) / std::sqrt({0})", "reciprocal": "T(1) / {0}", "exp": "std::exp({0})", "expm1": "std::expm1({0})",
    "log": "std::log({0})", "log1p": "std::log1p({0})", "pow": "T(std::pow({0}, {1}))", "maximum": "larger({0}, {1})",
    "minimum": "smaller({0}, {1})", "where": "{0} ? T({1}) : T({2})", "isnan": "{0} != {0}", "and": "{0} && {1}",
    "or": "{0} || {1}", "not": "!{0}", "gt": "{0} > {1}", "ge": "{0} >= {1}", "lt": "{0} < {1}", "le": "{0} <= {1}",
    "eq": "{0} == {1}", "ne": "{0} != {1}",
}  # fmt: skip

WALK = Path(__file__).with_name("walk.h").read_text()


def cuts_anywhere(program: LoopProgram, stage: tuple[int, ...]) -> bool:
    """Return whether threads may cut tensors anywhere in a stage, as none of them needs anything for itself."""
    phase = program.phases[stage[-1]]
    taken = {*phase.used(Level.WIDE), *(value for _, value in phase.stores)}
    return (
        len(stage) == 1
        and not phase.total
        and all(op.level in (Level.KEY, Level.WIDE) for op in phase.operations)
        and all(target in program.wide for target, _ in phase.stores)
        and taken.isdisjoint((*program.numbers, *program.sums(total=False)))
    )


def scalar_names(program: LoopProgram) -> list[str]:
    """Return what is known once for all tensors, in the order in which a stage takes it."""
    return [*KEY, *program.sums(total=True)]


def source_of(program: LoopProgram, work: torch.dtype, dtypes: Mapping[str, torch.dtype]) -> str:
    """Return the C++ of a program.

    Args:
        program: the passes.
        work: the dtype in which elements are computed.
        dtypes: that of each array and of each number.

    Raises:
        Unsupported: C++ has no such dtype.
    """
    if unknown := {*dtypes.values()} - {*TYPES}:
        raise Unsupported(f"arrays must be of a dtype in {[*TYPES]}", unknown)
    printer = _Printer(program, {label: TYPES[dtype] for label, dtype in dtypes.items()})
    lines = [
        f"typedef {TYPES[work]} W;",
        f"constexpr int ARRAYS = {len(printer.arrays)}, SCALARS = {len(printer.scalars)}, KNOWN = {len(printer.sums)};",
        WALK,
    ]
    for i in range(len(program.phases)):
        lines += printer.phase(i)
    for i, stage in enumerate(stages_of(program)):
        passes = ", ".join(f"Pass{j}" for j in stage)
        lines += [
            f"EXPORT void stage{i}(int64_t count, void* const* at, const int64_t* size, const int32_t* key,",
            "  int64_t keys, const double* scalars, double* known, double* totals, int threads) {",
            f"  {'pieces' if cuts_anywhere(program, stage) else 'tensors'}<{passes}>"
            "({count, at, size, key, keys, scalars, known, totals, threads});",
            "}",
        ]
    return "\n".join(lines) + "\n"


class _Printer:
    def __init__(self, program: LoopProgram, types: Mapping[str, str]) -> None:
        self.program, self.types = program, types
        self.arrays = [*program.wide, *program.numbers]
        self.scalars, self.sums = scalar_names(program), program.sums(total=False)

    # What an operation is in C++.

    def _value(self, x: str | Const | None, kind: str) -> str:
        if isinstance(x, str):
            return f"v_{x}"
        if isinstance(x, bool):
            return "true" if x else "false"
        assert x is not None  # only the bounds of clamp may be
        if math.isnan(x) or math.isinf(x):
            return f"{kind}({'-' if x < 0 else ''}{'NAN' if math.isnan(x) else 'INFINITY'})"
        return f"{kind}({float(x)!r})"

    def _line(self, op: LoopOperation, kind: str) -> str:
        values = [None if x is None else self._value(x, kind) for x in op.args]
        if op.kind == "clamp":
            x, low, high = [*values, None, None][:3]
            text = str(x)
            if high is not None:
                text = f"({text} > {high} ? {high} : {text})"
            if low is not None:
                text = f"({x} < {low} ? {low} : {text})"
        else:
            text = _FORMS[op.kind].format(*values).replace("T(", f"{kind}(")
        return f"const {'bool' if op.kind in TRUTHS else kind} v_{op.name} = {text};"

    def _operations(self, phase: LoopPhase, level: Level, kind: str) -> Iterator[str]:
        return (self._line(op, kind) for op in phase.operations if op.level == level and op.kind != "sum")

    # What one level hands to the next ones.

    def _fields(self, index: int, level: Level) -> list[str]:
        """Return the names of a level that later levels use."""
        others = self.scalars if level == Level.KEY else [*self.sums, *self.program.numbers]
        return self.program.phases[index].handed(level, others)

    def _struct(self, index: int, level: Level, name: str) -> str:
        kinds = {op.name: op.kind for op in self.program.phases[index].operations}
        fields = self._fields(index, level)
        body = " ".join(f"{'bool' if kinds.get(x) in TRUTHS else 'double'} v_{x};" for x in fields)
        return f"struct {name} {{ {body} }};"

    def _handed(self, index: int, level: Level) -> str:
        return ", ".join(f"v_{x}" for x in self._fields(index, level))

    def _taken(self, index: int, names: Sequence[str], kind: str = "", after: Level = Level.OWN) -> Iterator[str]:
        """Yield what makes names of earlier levels known; scalars in another type, if one is given."""
        truths = {op.name for op in self.program.phases[index].operations if op.kind in TRUTHS}
        for place, level in (("key", Level.KEY), ("own", Level.OWN))[: after + 1]:
            for x in self._fields(index, level):
                if x in names:
                    content = f"{place}.v_{x}"
                    yield f"const auto v_{x} = {f'{kind}({content})' if kind and x not in truths else content};"

    def _at(self, label: str) -> str:
        return f"({self.types[label]}*)at[{self.arrays.index(label)}]"

    # The functions of a pass.

    def phase(self, index: int) -> Iterator[str]:
        """Yield the text of one pass."""
        phase = self.program.phases[index]
        sums = [op for op in phase.operations if op.kind == "sum"]
        place = self.sums.index(self.program.known[index][0]) if phase.gives and not phase.total else 0
        yield f"struct Pass{index} {{"
        yield self._struct(index, Level.KEY, "Key")
        yield self._struct(index, Level.OWN, "Own")
        yield f"static constexpr int SUMS = {max(len(sums), 1)}, GIVES = {len(phase.gives)}, PLACE = {place};"
        yield f"static constexpr bool TOTAL = {str(phase.total).lower()};"
        yield "static Key key(const double* scalars) {"
        yield from (f"const double v_{x} = scalars[{i}];" for i, x in enumerate(self.scalars))
        yield from self._operations(phase, Level.KEY, "double")
        yield f"return Key{{{self._handed(index, Level.KEY)}}}; }}"
        yield "static Own own(const Key& key, const double* known, void* const* at) {"
        yield from (f"const double v_{x} = known[{i}];" for i, x in enumerate(self.sums))
        for x in self.program.numbers:
            yield f"const double v_{x} = load<double, {self.types[x]}>(*{self._at(x)});"
        yield from self._taken(index, phase.used(Level.OWN), after=Level.KEY)
        yield from self._operations(phase, Level.OWN, "double")
        yield f"return Own{{{self._handed(index, Level.OWN)}}}; }}"
        known = "const Key& key, const Own& own, void* const* at"
        yield f"static void wide({known}, int64_t begin, int64_t end, double* sums) {{"
        yield from self._wide(index, sums)
        yield "}"
        yield f"static void after({known}, const double* sums, double* results) {{"
        yield from self._after(index, sums)
        yield "}\n};"

    def _wide(self, index: int, sums: Sequence[LoopOperation]) -> Iterator[str]:
        """Yield the loop over the elements."""
        phase, program = self.program.phases[index], self.program
        stores = {label: value for label, value in phase.stores if label in program.wide}
        read = list(loads(phase, program))
        outer = [*phase.used(Level.WIDE), *(value for value in stores.values() if isinstance(value, str))]
        yield from self._taken(index, outer, "W")
        for x in program.wide:
            if x in read or x in stores:
                yield f"{'' if x in stores else 'const '}{self.types[x]}* __restrict a_{x} = {self._at(x)};"
        yield from (f"W sum{i} = 0;" for i, _ in enumerate(sums))
        names = ", ".join(f"sum{i}" for i, _ in enumerate(sums))
        yield f"#pragma omp simd{f' reduction(+:{names})' if sums else ''}"
        yield "for (int64_t i = begin; i < end; i++) {"
        for x in read:
            yield f"  const W v_{x} = load<W, {self.types[x]}>(a_{x}[i]);"
        yield from self._operations(phase, Level.WIDE, "W")
        for i, op in enumerate(sums):
            yield f"  sum{i} += {self._value(op.args[0], 'W')};"
        for label, value in stores.items():
            yield f"  store<W, {self.types[label]}>(a_{label} + i, {self._value(value, 'W')});"
        yield "}"
        yield from (f"sums[{i}] += sum{i};" for i, _ in enumerate(sums))

    def _after(self, index: int, sums: Sequence[LoopOperation]) -> Iterator[str]:
        """Yield what makes results of the sums, or writes the numbers of a tensor."""
        phase = self.program.phases[index]
        stores = [(label, value) for label, value in phase.stores if label in self.program.numbers]
        outer = [*phase.used(Level.AFTER), *phase.gives, *(value for _, value in stores)]
        yield from self._taken(index, [x for x in outer if isinstance(x, str)])
        yield from (f"const double v_{op.name} = sums[{i}];" for i, op in enumerate(sums))
        yield from self._operations(phase, Level.AFTER, "double")
        for i, x in enumerate(phase.gives):
            yield f"results[{i}] = {self._value(x, 'double')};"
        for label, value in stores:
            yield f"store<double, {self.types[label]}>({self._at(label)}, {self._value(value, 'double')});"
