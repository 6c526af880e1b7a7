"""Step sizes from gradients: hypergradient descent, Polyak's step, distance over gradients."""

from typing import Annotated, Any, ClassVar, NamedTuple

from lrsched._core.check import Choice, OrNone, Real
from lrsched.feedback._base import Feedback
from lrsched.feedback._space import Number, Space, finite


class HypergradientState(NamedTuple):
    """The state of `Hypergradient`."""

    scale: float
    norm_sq: float  # of the last gradient


class Hypergradient(Feedback):
    """Raise the rate while successive gradients agree, lower it when they oppose.

    "additive": `factor += rate * <g, g_last>`. "multiplicative": `factor *= 1 + rate * cos(g, g_last)`, which does
    not depend on the scale of the gradients. The inner product is with the update that the rate multiplied: of plain
    SGD, the last gradient. A rule that looks one step ahead: over many steps the rate drifts too low. An observation
    with NaN or an infinity changes nothing.

    Args:
        rate: learning rate of the factor, > 0; in the additive form that of the learning rate over the base rate.
        form: "multiplicative" (`rate` below 1, about 0.02) or "additive".
        minimum: smallest factor.
        maximum: largest factor, at least 1.

    Raises:
        ValueError: the multiplicative form gets a `rate` of 1 or more.

    Examples:
        >>> from lrsched.feedback import Observation
        >>> rule = Hypergradient(0.5)
        >>> state, factor = rule.update(rule.init(), Observation(norm_sq=4.0, dot_previous=0.0))
        >>> state, factor = rule.update(state, Observation(norm_sq=1.0, dot_previous=2.0))
        >>> factor
        1.5

    References:
        Baydin et al., Online learning rate adaptation with hypergradient descent, ICLR 2018. arXiv:1703.04782
    """

    needs: ClassVar[tuple[str, ...]] = ("norm_sq", "dot_previous")

    rate: Annotated[float, Real(low=0.0, open_low=True)]
    form: Annotated[str, Choice(("multiplicative", "additive"))] = "multiplicative"
    minimum: Annotated[float, Real(low=0.0, high=1.0)] = 0.0
    maximum: Annotated[float, Real(low=1.0)] = 1e6

    def _check(self) -> None:
        if self.form == "multiplicative" and self.rate >= 1.0:
            raise ValueError(f"Hypergradient(rate=...) must be < 1 for form='multiplicative', got {self.rate}")

    def init(self) -> HypergradientState:
        """Return the state before the first gradient."""
        return HypergradientState(1.0, 0.0)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[HypergradientState, Number]:
        """Return the next state and the factor."""
        norm_sq, dot = numbers
        old: HypergradientState = state
        sound = finite(norm_sq) & finite(dot) & (norm_sq >= 0.0)
        dot = xp.where(sound, dot, 0.0)
        if self.form == "additive":
            scale = old.scale + self.rate * dot
        else:
            size = xp.sqrt(xp.where(sound, norm_sq, 0.0)) * xp.sqrt(old.norm_sq)
            cosine = xp.where(size > 0.0, dot, 0.0) / xp.where(size > 0.0, size, 1.0)
            scale = old.scale * (1.0 + self.rate * xp.minimum(xp.maximum(cosine, -1.0), 1.0))
        scale = xp.minimum(xp.maximum(scale, self.minimum), self.maximum)
        return HypergradientState(scale, xp.where(sound, norm_sq, old.norm_sq)), scale


class PolyakState(NamedTuple):
    """The state of `Polyak`."""

    step: float  # the last step size
    cap: float  # the largest next one


class Polyak(Feedback):
    """Polyak's step size for stochastic gradients.

    It is `min((loss - f_min) / (c * norm_sq), maximum)`.
    SPS_max of Loizou et al.: loss and gradient are those of the batch. With `growth` a step is at most `growth` times
    the last one. The rule is the learning rate: use it with `Constant(1.0)`. A loss below `f_min` gives 0, as does a
    zero gradient. An observation with NaN or an infinity repeats the last step.

    Args:
        maximum: largest step, > 0.
        f_min: lower bound of the loss.
        c: 0.5 is best for convex problems, 1 is Polyak's own.
        growth: largest ratio of successive steps, > 1 (the authors: `2 ** (batch / samples)`); None for no bound.

    Examples:
        >>> from lrsched.feedback import Observation
        >>> rule = Polyak(maximum=10.0)
        >>> _, lr = rule.update(rule.init(), Observation(loss=2.0, norm_sq=4.0))
        >>> lr
        0.5

    References:
        Loizou et al., Stochastic Polyak step-size for SGD, AISTATS 2021. arXiv:2002.10542
    """

    needs: ClassVar[tuple[str, ...]] = ("loss", "norm_sq")

    maximum: Annotated[float, Real(low=0.0, open_low=True)] = 1.0
    f_min: Annotated[float, Real()] = 0.0
    c: Annotated[float, Real(low=0.0, open_low=True)] = 1.0
    growth: Annotated[float | None, OrNone(Real(low=1.0, open_low=True))] = None

    def init(self) -> PolyakState:
        """Return the state before the first loss."""
        return PolyakState(0.0, self.maximum)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[PolyakState, Number]:
        """Return the next state and the step size."""
        loss, norm_sq = numbers
        old: PolyakState = state
        sound = finite(loss) & finite(norm_sq)
        usable = sound & (norm_sq > 0.0)
        gap = xp.maximum(xp.where(usable, loss - self.f_min, 0.0), 0.0)
        step = xp.minimum(gap / xp.where(usable, norm_sq, 1.0) / self.c, old.cap)
        step = xp.where(sound, step, old.step)
        if self.growth is None:
            return PolyakState(step, old.cap), step
        # From a step of 0 no ratio leads away.
        cap = xp.where(step > 0.0, xp.minimum(step * self.growth, self.maximum), old.cap)
        return PolyakState(step, cap), step


class DoGState(NamedTuple):
    """The state of `DoG`."""

    distance: float  # the largest so far
    total: float  # of the squared gradient norms


class DoG(Feedback):
    """Distance over gradients: `max distance / sqrt(sum of norm_sq + eps)`.

    The distance is that of the parameters from where they started, before the update. The rule is the learning rate:
    use it with `Constant(1.0)`; its authors average the iterates. An observation with NaN or an infinity is left out.
    `optax.contrib.dog` is the same rule, with `initial` as its init_step "distance".

    Args:
        initial: distance to begin with, > 0; the authors take `1e-6 * (1 + norm of the parameters)`, or 1e-4 with
            batch normalisation.
        eps: > 0.

    Examples:
        >>> from lrsched.feedback import Observation
        >>> rule = DoG(initial=0.5)
        >>> state, lr = rule.update(rule.init(), Observation(distance=0.0, norm_sq=4.0))
        >>> round(lr, 6)
        0.25

    References:
        Ivgi, Hinder & Carmon, DoG is SGD's best friend, ICML 2023. arXiv:2302.12022
    """

    needs: ClassVar[tuple[str, ...]] = ("distance", "norm_sq")

    initial: Annotated[float, Real(low=0.0, open_low=True)] = 1e-6
    eps: Annotated[float, Real(low=0.0, open_low=True)] = 1e-8

    def init(self) -> DoGState:
        """Return the state before the first gradient."""
        return DoGState(self.initial, 0.0)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[DoGState, Number]:
        """Return the next state and the learning rate."""
        distance, norm_sq = numbers
        old: DoGState = state
        sound = finite(distance) & finite(norm_sq) & (norm_sq >= 0.0)
        largest = xp.maximum(old.distance, xp.where(sound, distance, 0.0))
        total = old.total + xp.where(sound, norm_sq, 0.0)
        return DoGState(largest, total), largest / xp.sqrt(total + self.eps)


class DoWGState(NamedTuple):
    """The state of `DoWG`."""

    distance_sq: float  # the largest so far
    total: float  # of the squared gradient norms, weighted by it


class DoWG(Feedback):
    """Distance over weighted gradients: `r / (sqrt(sum of r * norm_sq) + eps)`.

    r is the largest squared distance from the start so far. The rule is the learning rate: use it with
    `Constant(1.0)`. An observation with NaN or an infinity is left out. The same as `optax.contrib.dowg`.

    Args:
        initial: squared distance to begin with, > 0.
        eps: > 0.

    Examples:
        >>> from lrsched.feedback import Observation
        >>> rule = DoWG(initial=0.25)
        >>> state, lr = rule.update(rule.init(), Observation(distance=0.0, norm_sq=4.0))
        >>> round(lr, 4)
        0.25

    References:
        Khaled, Mishchenko & Jin, DoWG unleashed, NeurIPS 2023. arXiv:2305.16284
    """

    needs: ClassVar[tuple[str, ...]] = ("distance", "norm_sq")

    initial: Annotated[float, Real(low=0.0, open_low=True)] = 1e-4
    eps: Annotated[float, Real(low=0.0, open_low=True)] = 1e-4

    def init(self) -> DoWGState:
        """Return the state before the first gradient."""
        return DoWGState(self.initial, 0.0)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[DoWGState, Number]:
        """Return the next state and the learning rate."""
        distance, norm_sq = numbers
        old: DoWGState = state
        square = distance * distance
        sound = finite(square) & finite(norm_sq) & (norm_sq >= 0.0)
        largest = xp.maximum(old.distance_sq, xp.where(sound, square, 0.0))
        total = old.total + largest * xp.where(sound, norm_sq, 0.0)
        return DoWGState(largest, total), largest / (xp.sqrt(total) + self.eps)
