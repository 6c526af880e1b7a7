"""The passes of a rule as C++ that walks over a list of tensors where they lie, by all threads of torch.

Elements are computed in the working dtype; what there is one of for each tensor, and sums, in float64. A sum is taken
over pieces of fixed length and in a fixed order, so that it does not depend on the number of threads.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch

from lrsched_torch._graphs import KEY
from lrsched_torch._loop import TRUTHS, Constant, Level, Operation, Phase, Program, loads

# Elements that one thread takes at a time, and up to which it takes a tensor alone: both passes over it hit the cache.
CHUNK, SMALL = 2**13, 2**15
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

PRELUDE = """
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
#include <omp.h>
struct bfloat16 { uint16_t bits; };
template <class W, class S> static inline W load(const S& x) { return W(x); }
template <> inline float load<float, bfloat16>(const bfloat16& x) {
  uint32_t wide = uint32_t(x.bits) << 16; float y; std::memcpy(&y, &wide, 4); return y;
}
template <class W, class S> static inline void store(S* at, W x) { *at = S(x); }
template <> inline void store<float, bfloat16>(bfloat16* at, float x) {
  uint32_t wide; std::memcpy(&wide, &x, 4);
  uint32_t even = wide + 0x7fff + ((wide >> 16) & 1);
  at->bits = x != x ? uint16_t(0x7fc0) : uint16_t(even >> 16);
}
template <> inline double load<double, bfloat16>(const bfloat16& x) { return load<float, bfloat16>(x); }
template <> inline void store<double, bfloat16>(bfloat16* at, double x) { store<float, bfloat16>(at, float(x)); }
template <class T> static inline T larger(T a, T b) { return a != a ? a : (b > a || b != b) ? b : a; }
template <class T> static inline T smaller(T a, T b) { return a != a ? a : (b < a || b != b) ? b : a; }
"""


class Stage(NamedTuple):
    """Passes between which nothing is known of other tensors: the last one asks for a total, or writes.

    Args:
        phases: the numbers of the passes.
        pieces: whether threads may cut tensors anywhere, as none of them needs anything for itself.
    """

    phases: tuple[int, ...]
    pieces: bool


def stages_of(program: Program) -> tuple[Stage, ...]:
    """Return the stages of a program."""
    found, open_ = [], []
    for i, phase in enumerate(program.phases):
        open_.append(i)
        if phase.total or i == len(program.phases) - 1:
            own = [op for j in open_ for op in program.phases[j].operations if op.level in (Level.OWN, Level.AFTER)]
            narrow = own or any(target in program.numbers for target, _ in phase.stores)
            takes = any(x in _own_inputs(program) for j in open_ for x in program.phases[j].used(Level.WIDE))
            found.append(Stage(tuple(open_), not narrow and not takes and len(open_) == 1 and not phase.total))
            open_ = []
    return tuple(found)


def _own_inputs(program: Program) -> set[str]:
    return {*program.numbers, *(x for i, names in enumerate(program.known) if not _is_total(program, i) for x in names)}


def _is_total(program: Program, index: int) -> bool:
    return index < len(program.phases) - 1 and program.phases[index].total


def scalar_names(program: Program) -> list[str]:
    """Return what is known once for all tensors, in the order in which a stage takes it."""
    return [*KEY, *(x for i, names in enumerate(program.known) if _is_total(program, i) for x in names)]


def known_sums(program: Program) -> list[str]:
    """Return what becomes known of each tensor, in the order in which it is kept."""
    return [x for i, names in enumerate(program.known) if not _is_total(program, i) for x in names]


def source_of(program: Program, work: torch.dtype, dtypes: Mapping[str, torch.dtype]) -> str:
    """Return the C++ of a program.

    Args:
        program: the passes.
        work: the dtype in which elements are computed.
        dtypes: that of each array and of each number.
    """
    printer = _Printer(program, {label: TYPES[dtype] for label, dtype in dtypes.items()})
    lines = [PRELUDE, f"typedef {TYPES[work]} W;"]
    for i in range(len(program.phases)):
        lines += printer.phase(i)
    for i, stage in enumerate(stages_of(program)):
        lines += printer.stage(i, stage)
    return "\n".join(lines) + "\n"


class _Printer:
    def __init__(self, program: Program, types: Mapping[str, str]) -> None:
        self.program, self.types = program, types
        self.arrays = [*program.wide, *program.numbers]
        self.scalars, self.sums = scalar_names(program), known_sums(program)

    # What an operation is in C++.

    def _value(self, x: str | Constant | None, kind: str) -> str:
        if isinstance(x, str):
            return f"v_{x}"
        if isinstance(x, bool):
            return "true" if x else "false"
        assert x is not None  # only the bounds of clamp may be
        if math.isnan(x) or math.isinf(x):
            return f"{kind}({'-' if x < 0 else ''}{'NAN' if math.isnan(x) else 'INFINITY'})"
        return f"{kind}({float(x)!r})"

    def _line(self, op: Operation, kind: str) -> str:
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

    def _operations(self, phase: Phase, level: Level, kind: str) -> Iterator[str]:
        return (self._line(op, kind) for op in phase.operations if op.level == level and op.kind != "sum")

    # What one level hands to the next ones.

    def _fields(self, index: int, level: Level) -> list[str]:
        """Return the names of a level that later levels use."""
        phase = self.program.phases[index]
        here = [op.name for op in phase.operations if op.level == level]
        here += self.scalars if level == Level.KEY else [*self.sums, *self.program.numbers]
        wanted = {x for later in Level if later > level for x in phase.used(later)}
        wanted |= {value for _, value in phase.stores if isinstance(value, str)} | {
            x for x in phase.gives if isinstance(x, str)
        }
        return [x for x in here if x in wanted]

    def _struct(self, index: int, level: Level, name: str) -> str:
        kinds = {op.name: op.kind for op in self.program.phases[index].operations}
        fields = self._fields(index, level)
        body = " ".join(f"{'bool' if kinds.get(x) in TRUTHS else 'double'} v_{x};" for x in fields)
        return f"struct {name}{index} {{ {body} }};"

    def _taken(self, index: int, names: Sequence[str], kind: str = "", after: Level = Level.OWN) -> Iterator[str]:
        """Yield what makes names of earlier levels known; scalars in another type, if one is given."""
        truths = {op.name for op in self.program.phases[index].operations if op.kind in TRUTHS}
        for place, level in (("k", Level.KEY), ("o", Level.OWN))[: after + 1]:
            for x in self._fields(index, level):
                if x in names:
                    found = kind if kind and x not in truths else "auto"
                    yield f"const {found} v_{x} = {f'{kind}({place}.v_{x})' if found != 'auto' else f'{place}.v_{x}'};"

    def phase(self, index: int) -> Iterator[str]:
        """Yield the functions of one pass."""
        phase = self.program.phases[index]
        yield self._struct(index, Level.KEY, "Key")
        yield self._struct(index, Level.OWN, "Own")
        yield f"static inline Key{index} key{index}(const double* s) {{"
        for i, x in enumerate(self.scalars):
            yield f"  const double v_{x} = s[{i}]; (void)v_{x};"
        yield from self._operations(phase, Level.KEY, "double")
        yield f"  return Key{index}{{{', '.join(f'v_{x}' for x in self._fields(index, Level.KEY))}}};\n}}"
        yield f"static inline Own{index} own{index}(const Key{index}& k, const double* known, void* const* at) {{"
        for i, x in enumerate(self.sums):
            yield f"  const double v_{x} = known[{i}]; (void)v_{x};"
        for x in self.program.numbers:
            kind = self.types[x]
            at = f"at[{self.arrays.index(x)}]"
            yield f"  const double v_{x} = load<double, {kind}>(*(const {kind}*){at}); (void)v_{x};"
        yield from self._taken(index, phase.used(Level.OWN), after=Level.KEY)
        yield from self._operations(phase, Level.OWN, "double")
        yield f"  return Own{index}{{{', '.join(f'v_{x}' for x in self._fields(index, Level.OWN))}}};\n}}"
        yield from self._wide(index)
        yield from self._after(index)

    def _wide(self, index: int) -> Iterator[str]:
        phase, program = self.program.phases[index], self.program
        sums = [op for op in phase.operations if op.kind == "sum"]
        stores = [(label, value) for label, value in phase.stores if label in program.wide]
        read = list(loads(phase, program))
        touched = [x for x in program.wide if x in read or x in dict(stores)]
        yield (
            f"static void wide{index}(const Key{index}& k, const Own{index}& o, void* const* at, int64_t begin,"
            " int64_t end, double* sums) {"
        )
        outer = [*phase.used(Level.WIDE), *(value for _, value in stores if isinstance(value, str))]
        yield from self._taken(index, outer, "W")
        for x in touched:
            kind = self.types[x]
            constant = "" if x in dict(stores) else "const "
            yield f"  {constant}{kind}* __restrict a_{x} = ({constant}{kind}*)at[{self.arrays.index(x)}];"
        for i, _ in enumerate(sums):
            yield f"  W sum{i} = 0;"
        names = ", ".join(f"sum{i}" for i in range(len(sums)))
        yield f"  #pragma omp simd{f' reduction(+:{names})' if sums else ''}"
        yield "  for (int64_t i = begin; i < end; i++) {"
        for x in read:
            yield f"    const W v_{x} = load<W, {self.types[x]}>(a_{x}[i]);"
        yield from self._operations(phase, Level.WIDE, "W")
        for i, op in enumerate(sums):
            yield f"    sum{i} += {self._value(op.args[0], 'W')};"
        for label, value in stores:
            yield f"    store<W, {self.types[label]}>(a_{label} + i, {self._value(value, 'W')});"
        yield "  }"
        for i, _ in enumerate(sums):
            yield f"  sums[{i}] += sum{i};"
        yield "}"

    def _after(self, index: int) -> Iterator[str]:
        """Yield what makes results of sums, or writes the numbers of a tensor."""
        phase = self.program.phases[index]
        yield (
            f"static inline void after{index}(const Key{index}& k, const Own{index}& o, void* const* at,"
            " const double* sums, double* out) {"
        )
        stores = [(label, value) for label, value in phase.stores if label in self.program.numbers]
        outer = [*phase.used(Level.AFTER), *(v for _, v in stores if isinstance(v, str))]
        yield from self._taken(index, [*outer, *(x for x in phase.gives if isinstance(x, str))])
        for i, op in enumerate(op for op in phase.operations if op.kind == "sum"):
            yield f"  const double v_{op.name} = sums[{i}];"
        yield from self._operations(phase, Level.AFTER, "double")
        for i, x in enumerate(phase.gives):
            yield f"  out[{i}] = {self._value(x, 'double')};"
        for label, value in stores:
            kind = self.types[label]
            at = f"({kind}*)at[{self.arrays.index(label)}]"
            yield f"  store<double, {kind}>({at}, {self._value(value, 'double')});"
        yield "}"

    # One call for a list of tensors.

    def stage(self, number: int, stage: Stage) -> Iterator[str]:
        """Yield the function that does the passes of a stage over all tensors."""
        width, arrays = len(self.scalars), len(self.arrays)
        yield (
            f'extern "C" void stage{number}(int64_t T, void* const* ptr, const int64_t* size, const int32_t* key,'
            " int64_t keys, const double* scalars, double* known, double* totals, int threads) {"
        )
        for i in stage.phases:
            yield f"  std::vector<Key{i}> keys{i}(keys);"
            yield f"  for (int64_t j = 0; j < keys; j++) keys{i}[j] = key{i}(scalars + j * {width});"
        yield f"  const int A = {arrays};"
        yield "  int64_t all = 0, most = 0;"
        yield "  for (int64_t t = 0; t < T; t++) { all += size[t]; if (size[t] > most) most = size[t]; }"
        yield f"  if (all < {SMALL}) threads = 1;"
        yield from self._pieces(stage.phases[0]) if stage.pieces else self._tensors(stage)
        yield "}"

    def _pieces(self, index: int) -> Iterator[str]:
        yield f"""  #pragma omp parallel num_threads(threads)
  {{
    const int64_t n = omp_get_num_threads(), me = omp_get_thread_num();
    const int64_t from = me == 0 ? 0 : (all * me / n) / 64 * 64;
    const int64_t to = me == n - 1 ? all : (all * (me + 1) / n) / 64 * 64;
    const Own{index} o{{}};
    void* at[A];
    int64_t start = 0;
    for (int64_t t = 0; t < T && start < to; start += size[t++]) {{
      const int64_t begin = from > start ? from - start : 0, end = to - start < size[t] ? to - start : size[t];
      if (begin >= end) continue;
      for (int a = 0; a < A; a++) at[a] = ptr[a * T + t];
      wide{index}(keys{index}[key[t]], o, at, begin, end, nullptr);
    }}
  }}"""

    def _tensors(self, stage: Stage) -> Iterator[str]:
        phases = self.program.phases
        sums = {i: max(sum(op.kind == "sum" for op in phases[i].operations), 1) for i in stage.phases}
        width = max(len(self.sums), 1)
        last = stage.phases[-1]
        gives = len(phases[last].gives) if phases[last].total else 0
        place = {i: "own_totals" if phases[i].total else f"mine + {self._first_known(i)}" for i in stage.phases}
        yield f"  std::vector<double> each(T * {max(gives, 1)});"
        yield f"  const int64_t chunks = (most + {CHUNK - 1}) / {CHUNK};"
        yield f"  std::vector<double> parts(chunks * {max(sums.values())});"
        yield "  #pragma omp parallel num_threads(threads)\n  {"
        yield "    const int64_t n = omp_get_num_threads(), me = omp_get_thread_num();\n    void* at[A];"
        yield "    #pragma omp for schedule(dynamic, 4) nowait"
        yield f"    for (int64_t t = 0; t < T; t++) {{\n      if (size[t] > {SMALL}) continue;"
        yield from self._of_tensor(width, gives)
        for i in stage.phases:
            yield f"      {{ const Key{i}& k = keys{i}[key[t]]; const Own{i} o = own{i}(k, mine, at);"
            yield f"        double sums[{sums[i]}] = {{}};"
            yield f"        for (int64_t b = 0; b < size[t]; b += {CHUNK}) {{"
            yield f"          double part[{sums[i]}] = {{}};"
            yield f"          wide{i}(k, o, at, b, b + {CHUNK} < size[t] ? b + {CHUNK} : size[t], part);"
            yield f"          for (int j = 0; j < {sums[i]}; j++) sums[j] += part[j];\n        }}"
            yield f"        after{i}(k, o, at, sums, {place[i]}); }}"
        yield "    }"
        yield f"    for (int64_t t = 0; t < T; t++) {{\n      if (size[t] <= {SMALL}) continue;"
        yield from self._of_tensor(width, gives)
        yield f"      const int64_t c = (size[t] + {CHUNK - 1}) / {CHUNK}, from = c * me / n, to = c * (me + 1) / n;"
        for count, i in enumerate(stage.phases):
            # Every other pass goes backwards, through what the cache still has.
            at = "to - 1 - (j - from)" if count % 2 else "j"
            yield f"      {{ const Key{i}& k = keys{i}[key[t]]; const Own{i} o = own{i}(k, mine, at);"
            yield f"        for (int64_t j = from; j < to; j++) {{\n          const int64_t b = ({at}) * {CHUNK};"
            yield f"          double* part = parts.data() + ({at}) * {sums[i]};"
            yield f"          for (int i = 0; i < {sums[i]}; i++) part[i] = 0;"
            yield f"          wide{i}(k, o, at, b, b + {CHUNK} < size[t] ? b + {CHUNK} : size[t], part);\n        }}"
            yield "        #pragma omp barrier\n        #pragma omp single\n        {"
            yield f"          double sums[{sums[i]}] = {{}};"
            yield f"          for (int64_t j = 0; j < c; j++) for (int i = 0; i < {sums[i]}; i++)"
            yield f"            sums[i] += parts[j * {sums[i]} + i];"
            yield f"          after{i}(k, o, at, sums, {place[i]});\n        }} }}"
        yield "    }\n  }"
        if gives:
            yield f"  for (int j = 0; j < {gives}; j++) totals[j] = 0;"
            yield f"  for (int64_t i = 0; i < T * {gives}; i++) totals[i % {gives}] += each[i];"

    def _of_tensor(self, width: int, gives: int) -> Iterator[str]:
        yield "      for (int a = 0; a < A; a++) at[a] = ptr[a * T + t];"
        yield f"      double* mine = known + t * {width};"
        yield f"      double* own_totals = each.data() + t * {max(gives, 1)}; (void)own_totals;"

    def _first_known(self, index: int) -> int:
        names = self.program.known[index] if index < len(self.program.known) else ()
        return self.sums.index(names[0]) if names else 0
