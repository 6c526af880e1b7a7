"""The two kinds of links, rules and parts, and the chains that `>>` builds of them.

A rule turns gradients into updates and owns all the state. A part only transforms: gradients when it stands before the
rule, updates when it stands after it. So a chain holds one rule, and its slots are those of the rule.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from typing import Annotated, Any, ClassVar, overload

from lrsched._core.check import Many, OneOf, instead, meant, short
from lrsched._core.value import Value, children, settle
from lrsched._spaces.ops import Array
from lrsched.arguments import checked
from lrsched.rules._ops.context import Context, shared
from lrsched.rules._update.run import Full, FullLike, parameter_ops, run


class Link(Value, abstract=True):
    """What `>>` joins: an update rule or a part of one."""

    kind: ClassVar[str] = "rule"
    # Whether the class asks the context for a total over all tensors of a call.
    joint: ClassVar[bool] = False
    # Whether it needs tensors in their own shape, for products of matrices or means of rows, say.
    shaped: ClassVar[bool] = False

    @property
    def couples(self) -> bool:
        """Whether the update of one tensor depends on the others of the call."""
        return self.joint or any(child.couples for child in children(self) if isinstance(child, Link))

    @property
    def packs(self) -> bool:
        """Whether tensors may be cut, joined and padded: all is element by element but for the sums of the context."""
        return not self.shaped and all(child.packs for child in children(self) if isinstance(child, Link))

    @staticmethod
    @checked
    def sequence(links: Annotated[Iterable[Any], OneOf(Iterable, "rules and parts")]) -> "Pipeline | Parts":
        """Return the chain of `links`, as `>>` between each two of them would."""
        flat = tuple(_flat(links))
        parts = tuple(link for link in flat if isinstance(link, Part))
        return Parts(parts) if len(parts) == len(flat) else Pipeline(flat)


class Part(Link, abstract=True):
    """A transformation without state, before or after a rule: a clip or a decay."""

    # On which sides of the rule it may stand.
    before: ClassVar[bool] = True
    after: ClassVar[bool] = True

    @overload
    def __rshift__(self, other: "Part") -> "Parts": ...
    @overload
    def __rshift__(self, other: "Rule") -> "Pipeline": ...
    def __rshift__(self, other: Any) -> "Pipeline | Parts":
        other = meant(other)
        return self.sequence((self, other)) if isinstance(other, Link) else NotImplemented

    @abstractmethod
    def transform(self, context: Context, ps: list[Array], xs: list[Array]) -> list[Array]:
        """Return the transformed gradients or updates `xs` of the parameters `ps`."""


class Rule(Link, abstract=True):
    """An update rule as a frozen value: array mathematics without any state.

    It holds no learning rate. Parameters may be float16, bfloat16, float32 or float64 arrays of NumPy, PyTorch, JAX or
    TensorFlow, traced or not. Moments and arithmetic are float32, or float64 for float64 parameters; each result is
    rounded once, at the end.

    Examples:
        >>> import numpy as np
        >>> from lrsched import rules
        >>> rule = rules.Momentum(0.5)
        >>> p = np.array([1.0, 2.0])
        >>> slots = rule.init(p)
        >>> delta, slots = rule.delta(p, np.array([1.0, -1.0]), slots, lr=0.1, step=0)
        >>> delta
        array([-0.1,  0.1])
        >>> slots
        MomentumSlots(v=array([ 1., -1.]))
    """

    def __rshift__(self, other: Any) -> "Pipeline":
        other = meant(other)
        return Pipeline((self, other)) if isinstance(other, Link) else NotImplemented

    @staticmethod
    def of(where: str, content: Any) -> "Rule":
        """Return a rule as it is, and the one of which OmegaConf keeps the configuration; errors name `where`."""
        found = content if isinstance(content, Rule) else meant(content)
        if not isinstance(found, Rule):
            hint = f"; write {found!r} >> SGD()" if isinstance(found, Part) else instead(found)
            raise TypeError(f"{where} must be a rule such as rules.Adam(), got {short(found)}{hint}")
        return found

    def init(self, p: Array) -> Any:
        """Return the slots of a new parameter.

        Args:
            p: the parameter, of any shape.

        Returns:
            A NamedTuple of arrays (None for a slot that the rule does not need), or () if the rule keeps nothing. They
            have the shape of `p` unless the rule says otherwise.

        Raises:
            TypeError: `p` is not a real floating-point array of a known library.
        """
        xp = parameter_ops(f"{type(self).__name__}.init(p)", p)
        return self.slots(FullLike(p, xp))

    def delta(self, p: Array, g: Array, slots: Any, *, lr: Any, step: Any) -> tuple[Array, Any]:
        """Return what to add to one parameter, and its new slots.

        To add it in bfloat16 or float16 rounds a second time; `apply` rounds once.

        Args:
            p: the parameter.
            g: the gradient, of the shape of `p` and of any floating-point dtype.
            slots: what `init` or the previous call returned.
            lr: learning rate; a number, a 0-d array or a tracer.
            step: number of updates done before this one; an int, a 0-d array or a tracer.

        Returns:
            An array of the shape and dtype of `p`, and slots like the old ones.

        Raises:
            TypeError: an argument is of the wrong kind.
            ValueError: the shapes differ, or `step` is a negative number.
        """
        owner = f"{type(self).__name__}.delta"
        for name, scalar in (("lr", lr), ("step", step)):
            if isinstance(scalar, list):  # which `apply` takes, with one for each tensor
                raise TypeError(f"{owner}({name}=...) must be a number or a 0-d array, got {short(scalar)}")
        names = (f"{owner}(p)", f"{owner}(g)", f"{owner}(slots)")
        deltas, new = run(self, names, lambda i: "", [p], [g], [slots], lr, step, add=False)
        return deltas[0], new[0]

    @abstractmethod
    def slots(self, full: Full) -> Any:
        """Return the slots of one tensor, the same named tuple for every tensor.

        `full(value)` makes a new array like the tensor, filled with the value, and `full(value, shape)` one of another
        shape: () for a number that belongs to the tensor. What depends on the contents of the tensor is taken from it
        at the first update.
        """

    @abstractmethod
    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots: pure mathematics without checks or casts.

        Args:
            context: array operations, scalars and reductions.
            ps: parameters, all of the working dtype.
            gs: gradients, of the same shapes and dtype.
            slots: slots, of the same dtype.
        """


# (parameter, gradient, slots) -> (what to subtract, new slots)
Kernel = Callable[[Array, Array, Any], tuple[Array, Any]]


class Local(Rule, abstract=True):
    """A rule that treats each tensor by itself, with one kernel for all of them."""

    @abstractmethod
    def kernel(self, context: Context) -> Kernel:
        """Compute the scalars of this step, once a learning rate, and return the function of one tensor."""

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""
        if context.each:
            kernels = shared(context.each, lambda a, b: a is b, self.kernel)
        else:
            kernels = [self.kernel(context)] * len(ps)
        pairs = [kernel(p, g, s) for kernel, p, g, s in zip(kernels, ps, gs, slots, strict=True)]
        return [u for u, _ in pairs], [s for _, s in pairs]


def _flat(links: Iterable[Link]) -> Iterator[Link]:
    for link in links:
        if isinstance(link, Pipeline | Parts):
            yield from link.links
        else:
            yield link


class Parts(Part):
    """Parts one after the other, without a rule yet.

    It is what `ClipByGlobalNorm(1.0) >> L2(1e-4)` builds.

    Args:
        links: one or more parts; inner `Parts` are flattened.
    """

    links: Annotated[tuple[Part, ...], Many(OneOf(Part, "a part such as L2(1e-4)"))]

    def _check(self) -> None:
        settle(self, "links", tuple(_flat(self.links)))

    def transform(self, context: Context, ps: list[Array], xs: list[Array]) -> list[Array]:
        """Return what the parts, the first one first, make of `xs`."""
        for part in self.links:
            xs = part.transform(context, ps, xs)
        return xs

    def __repr__(self) -> str:
        """Return the parts joined by `>>`."""
        return " >> ".join(map(repr, self.links)) if len(self.links) > 1 else f"Parts({self.links!r})"


class Pipeline(Rule):
    """A rule with parts before and after it, as `>>` builds it.

    Parts before the rule transform the gradient, in order; parts after it transform the update, in which the learning
    rate is contained. The slots are those of the rule.

    Args:
        links: parts and exactly one rule; inner chains are flattened.

    Raises:
        ValueError: there is not exactly one rule, or a part stands on the wrong side of it.

    Examples:
        >>> from lrsched import rules
        >>> rules.ClipByGlobalNorm(1.0) >> rules.L2(1e-4) >> rules.Momentum(0.8)
        ClipByGlobalNorm(1.0) >> L2(0.0001) >> Momentum(0.8)
    """

    links: Annotated[tuple[Link, ...], Many(OneOf(Link, "a rule or a part"))]
    _rule: Rule = field(init=False)

    def _check(self) -> None:
        links = tuple(_flat(self.links))
        settle(self, "links", links)
        places = [i for i, link in enumerate(links) if isinstance(link, Rule)]
        if len(places) != 1:
            found = [links[i] for i in places]
            raise ValueError(f"a chain must hold exactly one rule, got {found if found else 'parts only'}")
        (place,) = places
        for i, link in enumerate(links):
            if isinstance(link, Part) and not (link.before if i < place else link.after):
                side = "after" if i < place else "before"
                raise ValueError(f"{link!r} must stand {side} the rule {links[place]!r}, got it on the other side")
        settle(self, "_rule", links[place])

    def slots(self, full: Full) -> Any:
        """Return the slots of the rule."""
        return self._rule.slots(full)

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""
        xs = gs
        for link in self.links:
            if isinstance(link, Part):
                xs = link.transform(context, ps, xs)
            elif isinstance(link, Rule):
                xs, slots = link.body(context, ps, xs, slots)
        return xs, slots

    def __repr__(self) -> str:
        """Return the links joined by `>>`."""
        return " >> ".join(map(repr, self.links)) if len(self.links) > 1 else f"Pipeline({self.links!r})"
