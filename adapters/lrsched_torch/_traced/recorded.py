"""The body of a rule for one tensor as a Python function that overwrites what nobody needs any more.

A matrix p, its gradient and its slots enter `record` as shapes without contents, learning rate and step as numbers
without a value. The body of the rule runs on these once; `_Log` writes down each operation of PyTorch. What is asked
for twice is there already; what nobody reads is left out. Then each operation gets the memory that it writes into: that
of the slot whose new content it makes, if nobody reads the old one any more, or that of an operand whose last reader it
is, or new memory. The text of a function comes out: a line for each operation, numbers in plain Python, and names that
go as soon as nobody reads them. So an update needs as few arrays as one that was written by hand, and gives the same.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Operations, element by element, that write where they are told to.
POINTWISE = frozenset(
    (
        "add",
        "sub",
        "mul",
        "div",
        "addcdiv",
        "neg",
        "abs",
        "sign",
        "sqrt",
        "rsqrt",
        "reciprocal",
        "exp",
        "expm1",
        "log",
        "log1p",
    )
) | {"addcdiv", "floor", "sin", "pow", "maximum", "minimum", "clamp", "where"}
# Elements whose squares are added up at once, which keeps the digits.
PIECE = 2**16
# From how many elements on a multiple is computed again where it would have to stay in memory.
SCALED = 2**20
MINUS_ZERO = torch.tensor(-0.0)
NAN, INF = math.nan, math.inf


class CannotRecord(Exception):
    """A body does what cannot be written down: it looks at contents, or at what it has not been given."""


def _safe(function: Callable[..., Any]) -> Callable[..., float]:
    """Return a function of numbers that gives NaN or inf where Python raises an error."""

    def safe(*numbers: float) -> float:
        try:
            found: Any = function(*numbers)
        except OverflowError:
            return INF
        except (ValueError, ZeroDivisionError):
            return NAN
        return NAN if isinstance(found, complex) else found  # a root of a negative number

    return safe


def _limited(x: float, low: float | None = None, high: float | None = None) -> float:
    x = x if low is None or not x < low else low
    return x if high is None or not x > high else high


def _quotient(x: float, y: float) -> float:
    return x / y if y else x * math.copysign(INF, y)


# What is done to numbers: learning rate, step, sums, and what follows from them alone.
NUMBERS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "rsub": lambda x, y: y - x,
    "mul": lambda x, y: x * y,
    "div": _quotient,
    "reciprocal": lambda x: _quotient(1.0, x),
    "neg": lambda x: -x,
    "pow": _safe(pow),
    "sqrt": _safe(math.sqrt),
    "exp": _safe(math.exp),
    "expm1": _safe(math.expm1),
    "log": _safe(math.log),
    "log1p": _safe(math.log1p),
    "maximum": lambda x, y: y if y > x or y != y else x,  # NaN stays
    "minimum": lambda x, y: y if y < x or y != y else x,
    "clamp": _limited,
    "floor": math.floor,
    "abs": abs,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "where": lambda mask, x, y: x if mask else y,
    "_to_copy": lambda x: x,
}


class Ref(NamedTuple):
    """Stands for a value, by its number."""

    i: int


class LoggedCall(NamedTuple):
    """An operation, what it takes and the number of what it makes."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: int
    views: bool = False

    def refs(self) -> list[int]:
        """Return the numbers of the values that it reads."""
        found: list[int] = []
        _mapped(lambda ref: found.append(ref.i), (self.args, tuple(self.kwargs.values())))
        return found


def _mapped(function: Callable[[Ref], Any], tree: Any) -> Any:
    if isinstance(tree, Ref):
        return function(tree)
    return tuple(_mapped(function, x) for x in tree) if isinstance(tree, list | tuple) else tree


class _Log(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch has no types here
    """Writes down what is done to tensors without contents."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.values: list[Tensor] = []
        self.calls: list[LoggedCall] = []
        self._places: dict[int, int] = {}
        self._made: dict[str, Tensor] = {}

    def given(self, x: Tensor) -> Tensor:
        """Take a new value."""
        self._places[id(x)] = len(self.values)
        self.values.append(x)
        return x

    def place(self, x: Tensor) -> int:
        """Return the number of a value."""
        if id(x) not in self._places:
            raise CannotRecord("the body reads a tensor that it has made of numbers")
        return self._places[id(x)]

    def _refs(self, tree: Any) -> Any:
        if isinstance(tree, Tensor):
            return Ref(self.place(tree))
        return tuple(map(self._refs, tree)) if isinstance(tree, list | tuple) else tree

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Write down one operation."""
        kwargs, schema = kwargs or {}, func._schema
        taken, named = self._refs(args), {name: self._refs(x) for name, x in kwargs.items()}
        key = repr((str(func), taken, named))
        if key in self._made and torch.Tag.nondeterministic_seeded not in func.tags:
            return self._made[key]
        out = func(*args, **kwargs)
        if schema.is_mutable or not isinstance(out, Tensor) or id(out) in self._places:
            raise CannotRecord(f"the body does {func} to tensors")
        self._made[key] = self.given(out)
        views = schema.returns[0].alias_info is not None
        self.calls.append(LoggedCall(schema.name.partition("::")[2], taken, named, len(self.values) - 1, views))
        return out


class Target(NamedTuple):
    """What a result replaces."""

    value: int
    result: int


def record(
    body: Callable[..., Sequence[Tensor]], forms: Sequence[Tensor], scalars: torch.dtype, device: torch.device,
    *, replaces: bool,
) -> Callable[..., Any]:  # fmt: skip
    """Return a body as a function of `(lr, step, *tensors)`.

    Args:
        body: takes learning rate, step and tensors, and returns tensors.
        forms: tensors that are like those to come, without contents.
        scalars: the dtype in which the body sees learning rate and step.
        device: of the tensors to come.
        replaces: whether what the body returns is to be written into the first tensors; else it is returned.

    Raises:
        CannotRecord: the body cannot be written down.
    """
    log = _Log()
    numbers = [log.given(torch.empty((), dtype=scalars, device="meta")) for _ in range(2)]
    given = [log.given(x) for x in forms]
    try:
        with torch.no_grad(), log:
            results = list(body(*numbers, *given))
            if replaces:
                bases = _bases(log)
                for j, x in enumerate(results):
                    # What an input was is written elsewhere: it may be overwritten before.
                    if x is not given[j] and bases[log.place(x)] < len(numbers) + len(given):
                        results[j] = x.clone()
    except (AttributeError, IndexError, RuntimeError, TypeError) as error:
        raise CannotRecord(str(error)) from error
    places = [log.place(x) for x in results]
    targets = [Target(i + len(numbers), place) for i, place in enumerate(places)] if replaces else []
    return _FunctionText(log, len(numbers) + len(given), device).function(places, targets)


def _bases(log: _Log) -> list[int]:
    """Return for each value the one whose memory it sees."""
    found = list(range(len(log.values)))
    for call in log.calls:
        if call.views:
            found[call.out] = found[call.refs()[0]]
    return found


def squares(x: Tensor) -> Tensor:
    """Return the sum of the squares of a vector."""
    if x.numel() <= PIECE:
        return torch.dot(x, x)
    return torch.stack([torch.dot(piece, piece) for piece in torch.split(x, PIECE)]).sum()


class _FunctionText:
    """Operations, and the text that they become.

    Args:
        log: what was written down.
        inputs: how many values were given, the first two of them numbers.
        device: of the tensors to come.
    """

    def __init__(self, log: _Log, inputs: int, device: torch.device) -> None:
        self.values, self.calls, self.inputs = log.values, log.calls, inputs
        self.names: dict[str, Any] = {"squares": squares, "device": device, "torch": torch}
        self.cpu = device.type == "cpu"
        self.memory = list(range(inputs))
        self.numbers = {0, 1}

    def function(self, results: Sequence[int], targets: Sequence[Target]) -> Callable[..., Any]:
        """Return the function that makes the results, and writes those that have a target."""
        self._needed(results)
        self._sum_squares()
        self._needed(results)
        self._count_numbers(sums=bool(targets) and self.cpu)
        self._scale_anew()
        last = {i: k for k, call in enumerate(self.calls) for i in call.refs()}
        last |= dict.fromkeys(results, len(self.calls))
        lines = [f"def update({', '.join(f'v{i}' for i in range(self.inputs))}):"]
        memory = {i: i for i in range(self.inputs)}
        open_ = [target for target in targets if target.value != target.result]
        for k, call in enumerate(self.calls):
            where = None if call.out in self.numbers else self._where(call, k, last, memory, open_)
            memory[call.out] = memory[call.refs()[0]] if call.views else call.out if where is None else memory[where]
            open_ = [one for one in open_ if (one.value, one.result) != (where, call.out)]
            lines.append(f"v{call.out} = {self._text(call, where)}")
            gone = [i for i in dict.fromkeys(call.refs()) if last[i] == k and i >= self.inputs]
            lines += [f"del {', '.join(f'v{i}' for i in gone)}"] * bool(gone)
        lines += [f"v{one.value}.copy_({self._array(Ref(one.result))})" for one in open_]
        lines += [] if targets else [f"return [{', '.join(self._array(Ref(i)) for i in results)}]"]
        exec(compile("\n    ".join(lines), "<update>", "exec"), self.names)
        found: Callable[..., Any] = self.names["update"]
        return found

    def _needed(self, results: Sequence[int]) -> None:
        wanted, kept = set(results), []
        for call in reversed(self.calls):
            if call.out in wanted:
                wanted.update(call.refs())
                kept.append(call)
        self.calls = kept[::-1]

    def _sum_squares(self) -> None:
        """Take sums of squares without an array of the squares, where a processor can."""
        made = {call.out: call for call in self.calls}
        for k, call in enumerate(self.calls):
            inner = made.get(call.args[0].i) if call.name == "sum" and len(call.args) == 1 and not call.kwargs else None
            if inner is None or inner.name != "mul" or inner.args[0] != inner.args[1] or not self.cpu:
                continue
            x = self.values[inner.args[0].i]
            if x.dtype in (torch.float32, torch.float64) and _dense(x):
                self.calls[k] = LoggedCall("squares", inner.args[:1], {}, call.out)

    def _count_numbers(self, *, sums: bool) -> None:
        """Find what is computed in Python: what follows from numbers, and on a processor from sums, alone."""
        for call in self.calls:
            refs = call.refs()
            summed = sums and (call.name == "squares" or (call.name == "sum" and len(call.args) == 1))
            plain = call.name in NUMBERS and call.kwargs.keys() <= {"dtype"}
            if summed or (plain and refs and self.numbers.issuperset(refs)):
                self.numbers.add(call.out)

    def _scale_anew(self) -> None:
        """Multiply a large input by a number once for each that reads the product, which then need not stay."""
        calls: list[LoggedCall] = []
        scaled: dict[int, LoggedCall] = {}
        read: set[int] = set()
        for call in self.calls:
            arrays = {i for i in call.refs() if i not in self.numbers}
            again = arrays & scaled.keys() & read
            read |= arrays
            wide = [i for i in arrays if self.values[i].numel() >= SCALED]
            scalar = len(wide) == 1 < len(call.refs()) and all(i in wide or not self.values[i].dim() for i in arrays)
            if call.name == "mul" and scalar and wide[0] < self.inputs and not call.kwargs:
                scaled[call.out] = call
            elif self.cpu and call.name == "div" and call.args[0] in map(Ref, again) and len(wide) == 2:
                # x + a * y / z rounds twice, as the product and the quotient do, if x is -0.
                y, number = sorted(scaled[call.args[0].i].args, key=lambda x: -self.values[x.i].numel())
                call = call._replace(name="addcdiv", args=(MINUS_ZERO, y, call.args[1]), kwargs={"value": number})
            elif again:
                refs = {i: Ref(len(self.values) + k) for k, i in enumerate(sorted(again))}
                for i, ref in refs.items():
                    self.values.append(self.values[i])
                    calls.append(scaled[i]._replace(out=ref.i))
                call = call._replace(args=_mapped(lambda ref, refs=refs: refs.get(ref.i, ref), call.args))  # type: ignore[misc]  # bound at once
            calls.append(call)
        self.calls = calls

    def _where(
        self, call: LoggedCall, k: int, last: dict[int, int], memory: dict[int, int], targets: Sequence[Target]
    ) -> int | None:
        """Return the value whose memory an operation may write into, or None."""
        if call.name not in POINTWISE:
            return None
        out, refs = self.values[call.out], [i for i in call.refs() if i not in self.numbers]

        def free(i: int) -> bool:
            base = memory[i]
            return (
                _like(self.values[i], out)
                and _dense(out)
                and self.values[base].numel() == out.numel()
                and all(last.get(j, -1) <= k for j, other in memory.items() if other == base)
                and all(_like(self.values[j], out) for j in refs if memory[j] == base)
            )

        own = [one.value for one in targets if one.result == call.out]
        dying = [i for i in refs if memory[i] >= self.inputs]
        return next((i for i in (*own, *dying) if free(i)), None)

    def _text(self, call: LoggedCall, where: int | None) -> str:
        """Return the expression of an operation."""
        name, args, kwargs = call.name, list(call.args), dict(call.kwargs)
        if name == "squares":
            x = self.values[args[0].i]
            vector = "view(-1)" if x.is_contiguous() else f"as_strided(({x.numel()},), (1,))"
            return f"squares(v{args[0].i}.{vector}){'.item()' * (call.out in self.numbers)}"
        if call.out in self.numbers and name == "sum":
            return f"torch.sum({self._array(args[0])}).item()"
        if call.out in self.numbers:
            self.names[f"number_{name}"] = NUMBERS[name]
            return f"number_{name}({', '.join(map(self._item, args))})"
        if name == "_to_copy":
            if kwargs.keys() != {"dtype"}:
                raise CannotRecord("the body moves a tensor")
            return f"v{args[0].i}.to({self._item(kwargs['dtype'])})"
        if any(isinstance(x, torch.device | torch.memory_format) for x in kwargs.values()) or not call.refs():
            raise CannotRecord(f"the body makes tensors by {name}")
        if name in ("add", "mul") and self._is_number(args[0]):
            args[:2] = args[1::-1]
        # A number may stand second; elsewhere an operation takes tensors only.
        plain = (1,) if name in ("add", "sub", "mul", "div") else ()
        told = [self._item(x) if i in plain else self._array(x) for i, x in enumerate(args)]
        told += [f"{key}={self._array(x)}" for key, x in kwargs.items()]
        if where is not None:
            told.append(f"out=v{where}")
        self.names[name] = getattr(torch, name, None) or getattr(torch.ops.aten, name)
        return f"{name}({', '.join(told)})"

    def _is_number(self, x: Any) -> bool:
        return isinstance(x, Ref) and x.i in self.numbers

    def _item(self, x: Any) -> str:
        if isinstance(x, Ref):
            return f"v{x.i}"
        if isinstance(x, tuple):
            return f"[{', '.join(map(self._array, x))}]"
        if x is None or isinstance(x, int) or (isinstance(x, float) and math.isfinite(x)):
            return repr(x)
        name = f"c{len(self.names)}"
        self.names[name] = x
        return name

    def _array(self, x: Any) -> str:
        """Return an argument as text, a number as a tensor."""
        if not self._is_number(x):
            return self._item(x)
        kind = self._item(self.values[x.i].dtype)
        return f"torch.full((), v{x.i}, dtype={kind}, device=device)"


def _like(x: Tensor, y: Tensor) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and x.stride() == y.stride()


def _dense(x: Tensor) -> bool:
    """Return whether a tensor fills its memory."""
    return bool(torch.ops.aten.is_non_overlapping_and_dense.default(x))
