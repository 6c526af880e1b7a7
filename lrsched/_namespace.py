"""Which array library a step belongs to, and the dozen operations a curve needs from it.

Requirements that shaped this file:

* No framework is imported: a value is recognised by the module of its type, and that module is then already loaded.
* Steps are integers. Differences, comparisons and floors of steps are taken in integers, and only their result
  becomes a float: float32 counts exactly to 2**24 only.
* A namespace belongs to one dtype of step, so that constants are made in the right precision once.
* In traced code every branch is computed, so a branch that is not taken sees a harmless argument (no NaN gradient).
  Python and NumPy compute only what they need.
"""

import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

_INT64 = 2**63 - 1
# One block of float64 temporaries stays in the second-level cache.
BLOCK = 8192


class Stretched:
    """A local time that runs `per` times slower than the steps: `elapsed / per`.

    `left` is the distance to the local time `total`, counted from that end, so that a curve which falls to zero there
    keeps its relative accuracy. Offers the few operators that curves apply to a step.
    """

    __slots__ = ("elapsed", "left", "per", "total")

    def __init__(self, elapsed: Any, left: Any, per: Any, total: int) -> None:
        self.elapsed, self.left, self.per, self.total = elapsed, left, per, total

    def __truediv__(self, n: float) -> Any:
        return self.elapsed / (self.per * n)

    def __rsub__(self, n: int) -> Any:
        return self.left / self.per if n == self.total else n - self.elapsed / self.per

    def __sub__(self, n: int) -> "Stretched":
        return Stretched(self.elapsed - self.per * n, self.left, self.per, self.total - n)

    def __add__(self, n: int) -> "Stretched":
        return Stretched(self.elapsed + self.per * n, self.left, self.per, self.total + n)

    def __floordiv__(self, n: int) -> Any:
        return self.elapsed // (self.per * n)

    def __lt__(self, n: int) -> Any:
        return self.elapsed < self.per * n

    def __ge__(self, n: int) -> Any:
        return self.elapsed >= self.per * n

    def __getitem__(self, mask: Any) -> "Stretched":
        per = self.per[mask] if isinstance(self.per, np.ndarray) else self.per
        return Stretched(self.elapsed[mask], self.left[mask], per, self.total)


class Scalar:
    """Python numbers through `math`, in float64; only the branch that is needed is computed."""

    scalar = True
    top: int | None = None
    sin = staticmethod(math.sin)
    log = staticmethod(math.log)
    log1p = staticmethod(math.log1p)
    expm1 = staticmethod(math.expm1)
    sqrt = staticmethod(math.sqrt)
    minimum = staticmethod(min)
    maximum = staticmethod(max)

    @staticmethod
    def exp(a: float) -> float:
        return math.exp(a) if a < 709.0 else math.inf

    @staticmethod
    def real(t: Any) -> Any:
        return t.elapsed / t.per if type(t) is Stretched else t

    @staticmethod
    def full(t: Any, value: float) -> float:
        return value

    @staticmethod
    def less(t: Any, n: int) -> bool:
        return bool(t < n)

    @staticmethod
    def where(condition: bool, a: Any, b: Any) -> Any:
        return a if condition else b

    @staticmethod
    def positive(a: float) -> float:
        return a if a > 0.0 else 0.0

    @staticmethod
    def bounded(t: Any, n: int, curve: Callable[..., Any], end: float) -> Any:
        return end if t >= n else curve(t / n, (n - t) / n, SCALAR)

    @staticmethod
    def pieces(t: Any, starts: Sequence[int], curves: Sequence[Callable[..., Any]]) -> Any:
        if type(t) is Stretched:
            i = bisect_right(starts, t.elapsed / t.per) - 1
        else:
            i = bisect_right(starts, t) - 1
        return curves[i](t - starts[i], SCALAR)

    @staticmethod
    def power(x: float, y: float, p: float) -> Any:
        return x**p

    @staticmethod
    def log_of(x: float, y: float) -> float:
        return math.log1p(-y) if y < 0.5 else math.log(x) if x > 0.0 else -math.inf

    @staticmethod
    def take(values: "Values", t: Any) -> float:
        return values.numbers[min(math.floor(t), len(values.numbers) - 1)]

    @staticmethod
    def grow(factor: float, number: Any) -> float:
        try:
            return float(factor**number)
        except OverflowError:
            return math.inf

    @staticmethod
    def rest(t: Any, n: int, fraction: float = 0.0) -> Any:
        return n - t - fraction

    cap = staticmethod(min)

    @staticmethod
    def until(t: Any, n: int) -> Any:
        return n - t if t < n else 0

    @staticmethod
    def ahead(t: Any, n: int) -> Any:
        return t + n

    @staticmethod
    def fold(t: Any, n: int) -> Any:
        t = (t.elapsed / t.per if type(t) is Stretched else t) % (2 * n)
        return t if t <= n else 2 * n - t

    @staticmethod
    def cycle(t: Any, cycles: "Cycles") -> tuple[int, Stretched]:
        whole, fraction = cycles.whole, cycles.fraction
        i = bisect_right(whole, t, 1, len(cycles.per)) - 1
        elapsed, left = t - whole[i] + fraction[i], whole[i + 1] - t - fraction[i + 1]
        return i, Stretched(elapsed, left, cycles.per[i], cycles.period)


SCALAR = Scalar()


class Values:
    """A table of values: Python numbers for one step, an array for many."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self.numbers = numbers
        self.array = np.array(numbers)


class Cycles:
    """Where cycles of growing or shrinking length begin: cycle i at the exact time `whole[i] - fraction[i]`.

    Args:
        period: length of the cycle that lasts `per = 1`.
        whole: first step of each cycle, and of the one after the last.
        fraction: how far the exact beginning lies before that step, in [0, 1).
        per: how many steps one local step takes in each cycle.
    """

    def __init__(self, period: int, whole: list[int], fraction: list[float], per: list[float]) -> None:
        self.period, self.whole, self.fraction, self.per = period, whole, fraction, per
        self.whole_array = np.array(whole, dtype=np.int64)
        self.fraction_array, self.per_array = np.array(fraction), np.array(per)


class Arrays:
    """Array operations through a module of the array-API kind; the base of the frameworks below."""

    scalar = False

    def __init__(self, xp: Any, floating: Any, top: int | None) -> None:
        self.xp = xp
        self.floating = floating
        self.top = top
        self.double = "float64" in str(floating)
        for name in ("sin", "exp", "log", "log1p", "expm1", "sqrt"):
            setattr(self, name, getattr(xp, name))

    sin: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    log: Callable[[Any], Any]
    log1p: Callable[[Any], Any]
    expm1: Callable[[Any], Any]
    sqrt: Callable[[Any], Any]

    # What a library spells in its own way.

    def cast(self, t: Any) -> Any:
        return self.xp.astype(t, self.floating)

    def constant(self, table: np.ndarray[Any, Any], like: Any) -> Any:
        return self.xp.asarray(table, dtype=self.floating if table.dtype.kind == "f" else like.dtype)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.xp.where(condition, self._lift(a, condition), self._lift(b, condition))

    def _lift(self, value: Any, like: Any) -> Any:
        return self.xp.asarray(value, dtype=self.floating) if isinstance(value, float) else value

    def minimum(self, a: Any, b: Any) -> Any:
        return self.xp.where(a < b, a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        return self.xp.where(a < b, b, a)

    def search(self, table: Any, t: Any) -> Any:
        return self.xp.searchsorted(table, t, side="right")

    def gather(self, table: Any, i: Any) -> Any:
        return table[i]

    # What follows from these.

    def real(self, t: Any) -> Any:
        return t.elapsed / t.per if type(t) is Stretched else self.cast(t)

    def full(self, t: Any, value: float) -> Any:
        return self.real(t) * 0.0 + value

    def positive(self, a: Any) -> Any:
        """Return the values, and 0 in place of negative ones."""
        return self.where(a > 0.0, a, 0.0) if hasattr(a, "shape") else max(a, 0.0)

    def less(self, t: Any, n: int) -> Any:
        """Return where `t < n`, or None if that holds for every step the dtype can say."""
        return None if self.top is not None and n > self.top and type(t) is not Stretched else t < n

    def rest(self, t: Any, n: int, fraction: float = 0.0) -> Any:
        """Return `n - fraction - t` as a float; the difference of integers is taken in integers."""
        if type(t) is Stretched:
            return n - t
        if self.top is not None and n > self.top:
            return self.cast(self.top - t) + (n - self.top - fraction)
        return self.cast(n - t) - fraction if fraction else self.cast(n - t)

    def after(self, t: Any, n: int) -> Any:
        """Return the steps since step `n`, and 0 before it."""
        if type(t) is Stretched:
            gone = t - n
            return Stretched(self.maximum(gone.elapsed, gone.elapsed * 0.0), gone.left, gone.per, gone.total)
        return self.maximum(t, n) - n

    def bounded(self, t: Any, n: int, curve: Callable[..., Any], end: float) -> Any:
        """Return `curve(t / n, (n - t) / n)` before step `n`, and `end` from there on."""
        x, y = self.real(t) / n if type(t) is not Stretched else t / n, self.rest(t, n) / n
        inside = self.less(t, n)
        if inside is None:
            return curve(x, y, self)
        return self.where(inside, curve(self.where(inside, x, 0.5), self.where(inside, y, 0.5), self), end)

    def pieces(self, t: Any, starts: Sequence[int], curves: Sequence[Callable[..., Any]]) -> Any:
        """Return the value of the piece that owns each step, in its local time."""
        value = curves[0](t, self)
        for start, curve in zip(starts[1:], curves[1:], strict=True):
            before = self.less(t, start)
            if before is None:
                return value
            value = self.where(before, value, curve(self.after(t, start), self))
        return value

    def log_of(self, x: Any, y: Any) -> Any:
        """Return log(x) for x = 1 - y, accurate where x is close to 1 too."""
        near = y < 0.5
        return self.where(near, self.log1p(-self.where(near, y, 0.0)), self.log(self.where(near, 0.5, x)))

    def power(self, x: Any, y: Any, p: float) -> Any:
        """Return x**p for x = 1 - y; in float32 the rounding of x close to 1 would grow p-fold."""
        if self.double or p <= 1.0:
            return x**p
        near = y < 0.5
        far = self.where(near, 0.5, x) ** p
        return self.where(near, self.exp(p * self.log1p(-self.where(near, y, 0.0))), far)

    def take(self, values: "Values", t: Any) -> Any:
        """Return the value at each step, the last one for ever."""
        i = self.index(self.cap(t, len(values.array) - 1))
        return self.gather(self.constant(values.array, i), i)

    def grow(self, factor: float, number: Any) -> Any:
        """Return `factor ** number` for whole numbers."""
        return factor ** self.real(number)

    def cap(self, t: Any, n: int) -> Any:
        """Return the steps, at most n."""
        return t if self.top is not None and n > self.top else self.minimum(t, n)

    def until(self, t: Any, n: int) -> Any:
        """Return the steps left until step n, and 0 after it."""
        if type(t) is Stretched or (self.top is not None and n > self.top):
            return self.positive(self.rest(t, n))
        return n - self.minimum(t, n)

    def ahead(self, t: Any, n: int) -> Any:
        """Return the steps n later; an integer that would overflow stays at the largest."""
        if type(t) is Stretched or self.top is None:
            return t + n
        return self.minimum(t, self.top - n) + n if n <= self.top // 2 else self.cast(t) + float(n)

    def fold(self, t: Any, n: int) -> Any:
        """Return the distance to the nearest even multiple of n: a clock that swings between 0 and n."""
        if type(t) is Stretched:
            t = t.elapsed / t.per
        if self.top is not None and n > self.top:
            return t
        if self.top is None or 2 * n <= self.top:
            t = t % (2 * n)
        return n - abs(t - n)

    def cycle(self, t: Any, cycles: "Cycles") -> tuple[Any, Stretched]:
        """Return the number of the cycle of each step, and the time within it."""
        top = _INT64 if self.top is None else self.top
        inner = cycles.whole_array[1:-1]
        i = self.search(self.constant(inner[inner <= top], t), t)
        # A cycle may end after the last step that the dtype can say: that part of its end is a float.
        near = np.minimum(cycles.whole_array, top)
        beyond = (cycles.whole_array - near).astype(np.float64) - cycles.fraction_array

        def at(table: np.ndarray[Any, Any], k: int, like: Any) -> Any:
            return self.gather(self.constant(table, like), i + k)

        elapsed = self.cast(t - at(near, 0, t)) + at(cycles.fraction_array, 0, t)
        left = self.cast(at(near, 1, t) - t) + at(beyond, 1, t)
        return i, Stretched(elapsed, left, at(cycles.per_array, 0, t), cycles.period)

    def index(self, t: Any) -> Any:
        """Return a step as an integer; a float is rounded down."""
        return self.xp.astype(self.xp.floor(t), self.xp.int64) if "float" in str(t.dtype) else t


class NumPy(Arrays):
    """float64 in NumPy; only what a block of steps needs is computed."""

    def __init__(self, top: int | None) -> None:
        super().__init__(np, np.float64, top)

    def cast(self, t: Any) -> Any:
        return t.astype(np.float64, copy=False)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return np.where(condition, a, b)

    minimum = staticmethod(np.minimum)
    maximum = staticmethod(np.maximum)

    def full(self, t: Any, value: float) -> Any:
        return value

    def bounded(self, t: Any, n: int, curve: Callable[..., Any], end: float) -> Any:
        inside = t < n
        if inside.all():
            return curve(t / n, (n - t) / n, self)
        value = np.full(inside.shape, end)
        if inside.any():
            t = t[inside]
            value[inside] = curve(t / n, (n - t) / n, self)
        return value

    def pieces(self, t: Any, starts: Sequence[int], curves: Sequence[Callable[..., Any]]) -> Any:
        clock = t if type(t) is not Stretched else t.elapsed / t.per
        index = np.searchsorted(np.asarray(starts), clock, side="right") - 1
        low, high = int(index.min()), int(index.max())
        if low == high:
            return curves[low](t - starts[low], self)
        value = np.empty(index.shape)
        for i in np.unique(index).tolist():
            mine = index == i
            value[mine] = curves[i](t[mine] - starts[i], self)
        return value

    def log_of(self, x: Any, y: Any) -> Any:
        near = y < 0.5
        if near.all():
            return np.log1p(-y)
        with np.errstate(divide="ignore"):
            return np.log(x) if not near.any() else np.where(near, np.log1p(-np.where(near, y, 0.0)), np.log(x))

    def constant(self, table: np.ndarray[Any, Any], like: Any) -> Any:
        return table

    def index(self, t: Any) -> Any:
        return t if t.dtype.kind in "iu" else np.floor(t).astype(np.int64)


class Torch(Arrays):
    """torch tensors, on the device of the step."""

    def __init__(self, xp: Any, floating: Any, top: int | None) -> None:
        super().__init__(xp, floating, top)
        self.maximum = xp.maximum

    def cast(self, t: Any) -> Any:
        return t.to(self.floating)

    def minimum(self, a: Any, b: Any) -> Any:
        return self.xp.minimum(a, b) if hasattr(b, "shape") else a.clamp(max=b)

    def constant(self, table: np.ndarray[Any, Any], like: Any) -> Any:
        dtype = self.floating if table.dtype.kind == "f" else like.dtype
        return self.xp.as_tensor(table, device=like.device).to(dtype)

    def _lift(self, value: Any, like: Any) -> Any:
        # A 0-d tensor keeps float64 exact; a bare number would take the default dtype beside another number.
        if isinstance(value, float):
            return self.xp.full((), value, dtype=self.floating, device=like.device)
        return value

    def after(self, t: Any, n: int) -> Any:
        return super().after(t, n) if type(t) is Stretched else (t - n).clamp(min=0)

    def search(self, table: Any, t: Any) -> Any:
        return self.xp.searchsorted(table, t.contiguous(), right=True)

    def index(self, t: Any) -> Any:
        return t if not t.is_floating_point() else t.floor().to(self.xp.int64)


class Jax(Arrays):
    """jax arrays and tracers."""

    def __init__(self, xp: Any, floating: Any, top: int | None) -> None:
        super().__init__(xp, floating, top)
        self.minimum = xp.minimum
        self.maximum = xp.maximum

    def cast(self, t: Any) -> Any:
        return t.astype(self.floating)

    def index(self, t: Any) -> Any:
        return t if t.dtype.kind in "iu" else self.xp.floor(t).astype("int32")


class TensorFlow(Arrays):
    """tf.Tensors, eager or in a graph."""

    def __init__(self, xp: Any, floating: Any, top: int | None) -> None:
        self.tf = xp
        super().__init__(xp.math, floating, top)
        self.sqrt = xp.math.sqrt
        self.minimum = xp.math.minimum
        self.maximum = xp.math.maximum

    def cast(self, t: Any) -> Any:
        return self.tf.cast(t, self.floating)

    def constant(self, table: np.ndarray[Any, Any], like: Any) -> Any:
        return self.tf.constant(table, dtype=self.floating if table.dtype.kind == "f" else like.dtype)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.tf.where(condition, self._lift(a, condition), self._lift(b, condition))

    def _lift(self, value: Any, like: Any) -> Any:
        return self.tf.constant(value, dtype=self.floating) if isinstance(value, float) else value

    def search(self, table: Any, t: Any) -> Any:
        flat = self.tf.reshape(t, [-1])
        return self.tf.reshape(self.tf.searchsorted(table, flat, side="right"), self.tf.shape(t))

    def gather(self, table: Any, i: Any) -> Any:
        return self.tf.gather(table, i)

    def index(self, t: Any) -> Any:
        return t if t.dtype.is_integer else self.tf.cast(self.tf.floor(t), self.tf.int64)


_NUMPY = {"i": NumPy(_INT64), "f": NumPy(None)}
_CACHE: dict[Any, Arrays] = {}


def _cached(key: Any, make: Callable[[], Arrays]) -> Arrays:
    found = _CACHE.get(key)
    if found is None:
        found = _CACHE[key] = make()
    return found


def root_module(kind: type) -> str:
    """Return the name of the library that a type comes from: "torch", "jax", "tensorflow", "keras", "numpy", ...

    A subclass made elsewhere (a torch tensor subclass, say) belongs to the first library among its bases.
    """
    for base in kind.__mro__:
        root = base.__module__.partition(".")[0]
        if root in _FRAMEWORKS:
            return _FRAMEWORKS[root]
    return kind.__module__.partition(".")[0]


_FRAMEWORKS = {"torch": "torch", "jax": "jax", "jaxlib": "jax", "tensorflow": "tensorflow", "keras": "keras", "numpy": "numpy"}


def _torch_step(t: Any) -> tuple[Any, Arrays]:
    torch = sys.modules["torch"]
    if t.dtype == torch.bool or t.is_complex():
        raise _kind_error(t)
    default = torch.get_default_dtype()
    floating = torch.float64 if torch.float64 in (t.dtype, default) else torch.float32
    if t.is_floating_point():
        t = t.to(floating).clamp(min=0)
        return t, _cached(("torch", floating, None), lambda: Torch(torch, floating, None))
    return t.to(torch.int64).clamp(min=0), _cached(("torch", floating, _INT64), lambda: Torch(torch, floating, _INT64))


def _jax_step(t: Any) -> tuple[Any, Arrays]:
    jnp = sys.modules["jax.numpy"]
    if t.dtype.kind not in "iuf" and "float" not in str(t.dtype):
        raise _kind_error(t)
    floating = np.dtype(jnp.result_type(float)) if t.dtype.kind in "iu" else np.dtype(t.dtype)
    if floating not in (np.dtype(np.float32), np.dtype(np.float64)):
        floating = np.dtype(np.float32)
    if t.dtype.kind not in "iu":
        return jnp.maximum(t.astype(floating), 0), _cached(("jax", floating, None), lambda: Jax(jnp, floating, None))
    wide = np.dtype(jnp.result_type(int)) if t.dtype.itemsize < 4 or t.dtype.kind == "u" else np.dtype(t.dtype)
    if t.dtype.kind == "u" and t.dtype.itemsize >= wide.itemsize:
        t = jnp.minimum(t, np.iinfo(wide).max)
    top = int(np.iinfo(wide).max)
    return jnp.maximum(t.astype(wide), 0), _cached(("jax", floating, top), lambda: Jax(jnp, floating, top))


def _tensorflow_step(t: Any) -> tuple[Any, Arrays]:
    tf = sys.modules["tensorflow"]
    t = tf.convert_to_tensor(t)
    if t.dtype.is_floating:
        floating = tf.float64 if t.dtype == tf.float64 else tf.float32
        t = tf.maximum(tf.cast(t, floating), tf.constant(0, floating))
        return t, _cached(("tf", floating, None), lambda: TensorFlow(tf, floating, None))
    if not t.dtype.is_integer:
        raise _kind_error(t)
    t = tf.maximum(tf.cast(t, tf.int64), tf.constant(0, tf.int64))
    return t, _cached(("tf", tf.float32, _INT64), lambda: TensorFlow(tf, tf.float32, _INT64))


def _module_step(t: Any, xp: Any) -> tuple[Any, Arrays]:
    t = xp.asarray(t)
    integer = "int" in str(t.dtype)
    floating = xp.float64 if integer or "float64" in str(t.dtype) else t.dtype
    if integer:
        t = xp.astype(t, xp.int64)
    elif "float" not in str(t.dtype):
        raise _kind_error(t)
    t = xp.where(t < 0, xp.zeros_like(t), t)
    return t, Arrays(xp, floating, _INT64 if integer else None)


_STEPS = {"torch": _torch_step, "jax": _jax_step, "tensorflow": _tensorflow_step}


def _kind_error(step: Any) -> TypeError:
    shown = repr(step)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return TypeError(
        "schedule(step) must get an int, a float or an array of one of numpy, torch, jax, tensorflow, "
        f"got {type(step).__name__} {shown}; write np.asarray(steps), or schedule(step, xp=module) for another library"
    )


def evaluate(curve: Callable[[Any, Any], Any], step: Any, xp: ModuleType | None = None) -> Any:
    """Return `curve(step, namespace)` for a step of any supported library.

    Args:
        curve: a function of a local step and its namespace.
        step: a Python or NumPy number, an array, a tensor, a tracer or a keras Variable.
        xp: the array-API module of a library that is not known here.

    Returns:
        A Python float for a number, else an array of the same library, shape and device.

    Raises:
        ValueError: a negative, infinite or NaN Python number.
        TypeError: any other kind of step.
    """
    if xp is not None:
        t, space = _module_step(step, xp)
        return curve(t, space)
    if isinstance(step, np.ndarray):
        return _evaluate_numpy(curve, step)
    if isinstance(step, int | float | np.integer | np.floating) and not isinstance(step, bool):
        number = step if type(step) in (int, float) else step.item()
        if not 0 <= number < math.inf:
            raise ValueError(f"schedule(step) must get a finite step >= 0, got {step!r}")
        return float(curve(number, SCALAR))
    root = root_module(type(step))
    if root == "keras" and hasattr(step, "value"):
        return evaluate(curve, step.value)
    adapt = _STEPS.get(root)
    if adapt is None or not hasattr(step, "dtype") or not hasattr(step, "shape"):
        raise _kind_error(step)
    t, space = adapt(step)
    return curve(t, space)


def _evaluate_numpy(curve: Callable[[Any, Any], Any], steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    kind = steps.dtype.kind
    if kind not in "iuf":
        raise _kind_error(steps)
    space = _NUMPY["f" if kind == "f" else "i"]
    flat = np.ascontiguousarray(steps).reshape(-1)
    values = np.empty(flat.shape)
    for i in range(0, flat.size, BLOCK):
        block = flat[i : i + BLOCK]
        if kind == "u":
            block = np.minimum(block, _INT64)
        block = block.astype(np.float64 if kind == "f" else np.int64, copy=False)
        values[i : i + BLOCK] = curve(np.maximum(block, 0), space)
    return values.reshape(steps.shape)
