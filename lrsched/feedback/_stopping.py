"""Rules that say when to stop: `state.stop` turns True and stays so."""

from typing import Annotated, Any, NamedTuple

from lrsched._core.check import Choice, Flag, Int, OrNone, Real
from lrsched.feedback._base import Feedback
from lrsched.feedback._compare import MODES, safely, worst
from lrsched.feedback._space import INF, Number, Space, finite


class EarlyStoppingState(NamedTuple):
    """The state of `EarlyStopping`."""

    best: float
    bad: int  # evaluations without improvement
    seen: int
    stop: bool


class EarlyStopping(Feedback):
    """Stop when the metric has not improved for `patience` evaluations; factor 1.

    Better is a finite metric below `best - threshold` ("abs") or `best - threshold * abs(best)` ("rel"), with plus,
    upwards, in mode "max". NaN and infinities are bad. As `keras.callbacks.EarlyStopping` (whose `patience=0` equals
    1) as long as the first metric is finite: a NaN there is what Keras never finds an improvement on.

    Args:
        mode: "min" if the metric is to fall, "max" if it is to rise.
        patience: bad evaluations in a row that stop, at least 1.
        threshold: by how much a metric must be better, at least 0.
        threshold_mode: "abs" or "rel".
        start: evaluations that are left out at first.
        baseline: until a new best is better than this too, all evaluations are bad.

    Examples:
        >>> rule = EarlyStopping(patience=2)
        >>> state = rule.init()
        >>> for loss in [1.0, 0.5, 0.5, 0.6]:
        ...     state, _ = rule.update(state, loss)
        >>> state
        EarlyStoppingState(best=0.5, bad=2, seen=4, stop=True)
    """

    mode: Annotated[str, Choice(MODES)] = "min"
    patience: Annotated[int, Int(low=1)] = 10
    threshold: Annotated[float, Real(low=0.0)] = 0.0
    threshold_mode: Annotated[str, Choice(("abs", "rel"))] = "abs"
    start: Annotated[int, Int()] = 0
    baseline: Annotated[float | None, OrNone(Real())] = None

    def init(self) -> EarlyStoppingState:
        """Return the state before the first metric."""
        return EarlyStoppingState(worst(self.mode), 0, 0, False)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[EarlyStoppingState, Number]:
        """Return the next state and 1."""
        (metric,) = numbers
        old: EarlyStoppingState = state
        margins = (0.0, self.threshold) if self.threshold_mode == "abs" else (self.threshold, 0.0)
        counts = old.seen >= self.start
        better = counts & safely(xp, self.mode, metric, old.best, *margins)
        enough = better
        if self.baseline is not None:
            enough = better & safely(xp, self.mode, metric, xp.real(self.baseline), *margins)
        bad = xp.where(enough, 0, xp.where(counts, old.bad + 1, old.bad))
        stop = old.stop | (counts & xp.no(better) & (bad >= self.patience))
        best = xp.where(better, metric, old.best)
        return EarlyStoppingState(best, bad, old.seen + 1, stop), 1.0


class DecayOnPlateauThenStopState(NamedTuple):
    """The state of `DecayOnPlateauThenStop`."""

    scale: float
    best: float
    failures: int
    stop: bool


class DecayOnPlateauThenStop(Feedback):
    """Divide the rate by `k` at each failure; stop after `patience` at a low rate.

    A failure is a loss that is not below the best; NaN is one. Each failure sets the factor to
    `max(factor / k, minimum)`; an improvement forgets the failures. `state.stop` turns True once `patience` failures
    have been counted and the factor is at most `final`.

    The tutorial that describes the rule prints its counter in the other branch: it decays when the loss exceeds the
    best and counts the updates at which it does not, so that success stops the training. `printed=True` does that.

    Args:
        k: divisor of a failure, > 1.
        minimum: smallest factor: the smallest rate over the base rate.
        final: largest factor at which training may stop; at least `minimum`.
        patience: failures that stop, at least 1.
        printed: count as printed.

    Raises:
        ValueError: `final` is below `minimum`, so that training could never stop.

    Examples:
        >>> rule = DecayOnPlateauThenStop(k=10, minimum=0.01, final=0.1)
        >>> state = rule.init()
        >>> for loss in [1.0, 1.2, 1.1]:
        ...     state, factor = rule.update(state, loss)
        >>> state
        DecayOnPlateauThenStopState(scale=0.01, best=1.0, failures=2, stop=True)
    """

    k: Annotated[float, Real(low=1.0, open_low=True)] = 10.0
    minimum: Annotated[float, Real(low=0.0, high=1.0)] = 1e-3
    final: Annotated[float, Real(low=0.0, high=1.0)] = 1e-3
    patience: Annotated[int, Int(low=1)] = 2
    printed: Annotated[bool, Flag()] = False

    def _check(self) -> None:
        if self.final < self.minimum:
            raise ValueError(
                f"DecayOnPlateauThenStop(final=...) must be >= minimum={self.minimum}, or it never stops, "
                f"got {self.final}"
            )

    def init(self) -> DecayOnPlateauThenStopState:
        """Return the state before the first loss."""
        return DecayOnPlateauThenStopState(1.0, INF, 0, False)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[DecayOnPlateauThenStopState, Number]:
        """Return the next state and the factor."""
        (metric,) = numbers
        old: DecayOnPlateauThenStopState = state
        better = finite(metric) & (metric < old.best)
        failed = xp.no(metric <= old.best) if self.printed else xp.no(better)
        scale = xp.where(failed, xp.maximum(old.scale / self.k, self.minimum), old.scale)
        if self.printed:
            failures = xp.where(failed, old.failures, old.failures + 1)
        else:
            failures = xp.where(failed, old.failures + 1, 0)
        stop = old.stop | ((failures >= self.patience) & (scale <= self.final))
        return DecayOnPlateauThenStopState(scale, xp.where(better, metric, old.best), failures, stop), scale
