"""Rules that lower the learning rate at events: too small an improvement, a bounce of the weight norm."""

from typing import Annotated, Any, ClassVar, NamedTuple

from lrsched._core.check import Int, OrNone, Real
from lrsched.feedback._base import Feedback
from lrsched.feedback._space import INF, Number, Space, finite


class NewBobState(NamedTuple):
    """The state of `NewBob`."""

    scale: float
    last: float  # the last finite metric
    wait: int  # small improvements that are still forgiven


class NewBob(Feedback):
    """Multiply the rate by `factor` when the metric improves too little on the last.

    The improvement is `(last - metric) / abs(last)`, and 0 after a metric of 0. One below `threshold` cuts, unless
    `patience` of them are still forgiven. It is `NewBobScheduler` of SpeechBrain for finite metrics >= 0. Here NaN
    and infinities are too small an improvement and are not compared with later.

    Args:
        factor: what a cut multiplies the rate by, between 0 and 1.
        threshold: smallest relative improvement that is enough.
        patience: small improvements before each cut that are forgiven.

    Examples:
        >>> rule = NewBob()
        >>> state = rule.init()
        >>> for loss in [10.0, 2.0, 2.5]:
        ...     state, factor = rule.update(state, loss)
        ...     print(factor, end=" ")
        1.0 1.0 0.5
    """

    factor: Annotated[float, Real(0.0, 1.0, open_low=True, open_high=True)] = 0.5
    threshold: Annotated[float, Real()] = 0.0025
    patience: Annotated[int, Int()] = 0

    def init(self) -> NewBobState:
        """Return the state before the first metric."""
        return NewBobState(1.0, INF, self.patience)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[NewBobState, Number]:
        """Return the next state and the factor."""
        (metric,) = numbers
        old: NewBobState = state
        sound, compared = finite(metric), finite(old.last)
        size = abs(old.last)
        usable = sound & compared & (size > 0.0)
        improvement = xp.where(usable, old.last - metric, 0.0) / xp.where(usable, size, 1.0)
        small = xp.no(sound) | (compared & (improvement < self.threshold))
        cut = small & (old.wait <= 0)
        scale = xp.where(cut, old.scale * self.factor, old.scale)
        wait = xp.where(cut, self.patience, xp.where(small, old.wait - 1, old.wait))
        return NewBobState(scale, xp.where(sound, metric, old.last), wait), scale


class ABELState(NamedTuple):
    """The state of `ABEL`."""

    scale: float
    last: float  # the last squared norm
    trend: float  # the last change of it
    seen: int
    reached: bool  # whether the norm has passed a minimum since the last cut


class ABEL(Feedback):
    """Multiply the rate by `factor` each time the weight norm bounces.

    Observes the squared weight norm, once an epoch. When its trend turns for the first time it has passed a minimum,
    when it turns for the second time the rate is cut, and so on. A norm that never bounces leaves one cut, at epoch
    `last`, near the end. A NaN or infinite norm is left out, but its epoch is counted.

    Args:
        factor: what a cut multiplies the rate by, between 0 and 1.
        last: number of the epoch, from 1, after which the rate is cut in any case; None for no such cut.

    Examples:
        >>> rule = ABEL(0.1)
        >>> state = rule.init()
        >>> for norm_sq in [5.0, 4.0, 3.0, 4.0, 5.0, 4.5]:
        ...     state, factor = rule.update(state, norm_sq)
        ...     print(factor, end=" ")
        1.0 1.0 1.0 1.0 1.0 0.1

    References:
        Lewkowycz, How to decay your learning rate, 2021. arXiv:2103.12682
    """

    needs: ClassVar[tuple[str, ...]] = ("weight_norm_sq",)

    factor: Annotated[float, Real(0.0, 1.0, open_low=True, open_high=True)] = 0.1
    last: Annotated[int | None, OrNone(Int(low=1))] = None

    def init(self) -> ABELState:
        """Return the state before the first norm."""
        return ABELState(1.0, INF, 0.0, 0, False)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[ABELState, Number]:
        """Return the next state and the factor."""
        (norm_sq,) = numbers
        old: ABELState = state
        sound = finite(norm_sq)
        trend = xp.where(sound & finite(old.last), norm_sq - old.last, 0.0)
        turned = ((trend > 0.0) & (old.trend < 0.0)) | ((trend < 0.0) & (old.trend > 0.0))
        cut = turned & old.reached
        if self.last is not None:
            cut = cut | (old.seen + 1 == self.last)
        scale = xp.where(cut, old.scale * self.factor, old.scale)
        reached = xp.where(turned, xp.no(old.reached), old.reached)
        last, trend = xp.where(sound, norm_sq, old.last), xp.where(sound, trend, old.trend)
        return ABELState(scale, last, trend, old.seen + 1, reached), scale
