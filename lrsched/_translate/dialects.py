"""How the languages of `to_source` spell what a formula needs."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar


class Dialect:
    """The spelling of operations on a step: expressions are texts."""

    scalar: ClassVar[bool] = False
    module: ClassVar[str] = ""

    def call(self, name: str, *arguments: str) -> str:
        """Return the call of a function of one array: cos, exp, expm1, log, log1p, sqrt, tanh."""
        return f"{self.module}.{name}({', '.join(arguments)})"

    def least(self, *items: str) -> str:
        """Return the smallest."""
        return self._fold("minimum", items)

    def greatest(self, *items: str) -> str:
        """Return the largest."""
        return self._fold("maximum", items)

    def _fold(self, name: str, items: Sequence[str]) -> str:
        text = items[0]
        for item in items[1:]:
            text = self.call(name, text, item)
        return text

    def choose(self, condition: str, yes: str, no: str) -> str:
        """Return one of two values."""
        return self.call("where", condition, yes, no)

    @abstractmethod
    def lookup(self, table: str, index: str) -> str:
        """Return the entry of a table at a whole number >= 0, given as an integer or a float."""

    @abstractmethod
    def rank(self, table: str, t: str) -> str:
        """Return the number of the last entry of an increasing table that is <= t."""


class Python(Dialect):
    """Python numbers; only the branch that is taken is computed."""

    scalar = True
    module = "math"

    def least(self, *items: str) -> str:
        """Return the smallest."""
        return f"min({', '.join(items)})"

    def greatest(self, *items: str) -> str:
        """Return the largest."""
        return f"max({', '.join(items)})"

    def choose(self, condition: str, yes: str, no: str) -> str:
        """Return one of two values."""
        return f"({yes} if {condition} else {no})"

    def lookup(self, table: str, index: str) -> str:
        """Return an item."""
        return f"{table}[int({index})]"

    def rank(self, table: str, t: str) -> str:
        """Return the place of t among the items."""
        return f"bisect.bisect_right({table}, {t}) - 1"


class Jax(Dialect):
    """`jax.numpy`."""

    module = "jnp"

    def lookup(self, table: str, index: str) -> str:
        """Return an item."""
        return f"jnp.asarray({table})[jnp.asarray({index}, dtype=int)]"

    def rank(self, table: str, t: str) -> str:
        """Return the place of t among the items."""
        return f'jnp.searchsorted(jnp.asarray({table}), {t}, side="right") - 1'


class Keras(Dialect):
    """`keras.ops` on a single step, a float."""

    module = "ops"

    def lookup(self, table: str, index: str) -> str:
        """Return an item."""
        return f'ops.take(ops.convert_to_tensor({table}, dtype=step.dtype), ops.cast(ops.maximum({index}, 0), "int32"))'

    def rank(self, table: str, t: str) -> str:
        """Return the place of t among the items."""
        return f"ops.sum(ops.cast({t} >= ops.convert_to_tensor({table}, dtype=step.dtype), step.dtype)) - 1"
