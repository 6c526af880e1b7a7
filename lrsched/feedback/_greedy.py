"""Raise the learning rate while a metric improves, lower it when it does not."""

from dataclasses import field
from typing import Annotated, Any, NamedTuple

from lrsched._core.check import Choice, Int, Real
from lrsched._core.value import settle
from lrsched.feedback._base import Feedback
from lrsched.feedback._compare import MODES, plainly, worst
from lrsched.feedback._space import Number, Space, finite


class GreedyLRState(NamedTuple):
    """The state of `GreedyLR`."""

    scale: float  # the rate, in the unit of `base`
    best: float
    good: int  # improvements in a row
    bad: int  # evaluations in a row without improvement
    cooldown: int  # evaluations to leave out after a cut
    warmup: int  # evaluations to leave out after a rise
    waiting: int  # cuts at the minimum before a reset
    seen: int  # metrics in `recent`
    recent: tuple[float, ...]  # the latest `window` metrics, if they are averaged


class GreedyLR(Feedback):
    """Raise the rate after many improvements in a row, lower it after many failures.

    More than `patience` improvements in a row divide the rate by `factor`, more than `patience` others multiply it.
    After `reset_start` cuts that find it at the minimum, the rate and the best start afresh. It is the "greedy"
    scheduler of Transformers, evaluation by evaluation, for finite metrics. Here NaN and infinities are bad and enter
    neither the best nor the average.

    The rate lies in the unit of `base`: with `base=1` bounds are factors; for the bounds of Transformers, which are
    learning rates, give `base=lr`. Its default minimum, 1e-3, is above usual fine-tuning rates.

    Args:
        mode: "min" if the metric is to fall, "max" if it is to rise.
        factor: between 0 and 1.
        patience: evaluations in a row that change nothing yet, at least 0.
        threshold: by how much a metric must be better, at least 0.
        threshold_mode: "abs", or "rel": `best * (1 - threshold)`, which is backwards for negative metrics.
        cooldown: evaluations to leave out after a cut.
        warmup: evaluations to leave out after a rise.
        minimum: smallest rate a cut leads to.
        maximum: largest rate a rise leads to; at least `minimum`.
        eps: a change by no more is left out.
        window: metrics in the moving average that is judged; 1 for none (`smooth=True` of Transformers: 50).
        reset_start: cuts at the minimum before the reset, at least 1.
        base: the rate that the factor 1 stands for, > 0.

    Raises:
        ValueError: `maximum` is below `minimum`.

    Examples:
        >>> rule = GreedyLR(factor=0.5, patience=1, maximum=8.0)
        >>> state = rule.init()
        >>> for loss in [5.0, 4.0, 3.0, 2.0, 2.5, 2.5]:
        ...     state, factor = rule.update(state, loss)
        ...     print(factor, end=" ")
        1.0 2.0 2.0 4.0 4.0 2.0

    References:
        Subramanian et al., GreedyLR, 2025. arXiv:2512.14527
    """

    mode: Annotated[str, Choice(MODES)] = "min"
    factor: Annotated[float, Real(0.0, 1.0, open_low=True, open_high=True)] = 0.95
    patience: Annotated[int, Int()] = 10
    threshold: Annotated[float, Real(low=0.0)] = 1e-6
    threshold_mode: Annotated[str, Choice(("abs", "rel"))] = "abs"
    cooldown: Annotated[int, Int()] = 0
    warmup: Annotated[int, Int()] = 0
    minimum: Annotated[float, Real(low=0.0)] = 1e-3
    maximum: Annotated[float, Real(low=0.0, open_low=True)] = 1.0
    eps: Annotated[float, Real(low=0.0)] = 1e-8
    window: Annotated[int, Int(low=1, high=1000)] = 1
    reset_start: Annotated[int, Int(low=1)] = 500
    base: Annotated[float, Real(low=0.0, open_low=True)] = 1.0
    # The state after a reset.
    _afresh: GreedyLRState = field(init=False)

    def _check(self) -> None:
        if self.maximum < self.minimum:
            raise ValueError(f"GreedyLR(maximum=...) must be >= minimum={self.minimum}, got {self.maximum}")
        settle(self, "_afresh", self.init()._replace(cooldown=self.cooldown))

    def init(self) -> GreedyLRState:
        """Return the state before the first metric."""
        recent = (0.0,) * self.window if self.window > 1 else ()
        return GreedyLRState(self.base, worst(self.mode), 0, 0, 0, 0, self.reset_start, 0, recent)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[GreedyLRState, Number]:
        """Return the next state and the factor."""
        (metric,) = numbers
        old: GreedyLRState = state
        sound = finite(metric)
        seen, recent = old.seen, old.recent
        if self.window > 1:
            # A finite metric enters the window; its empty places are 0.
            seen = xp.where(sound, xp.minimum(seen + 1, self.window), seen)
            recent = xp.where(sound, (*recent[1:], metric), recent)
            metric = sum(recent) / xp.real(xp.maximum(seen, 1))
        cooling = old.cooldown > 0
        warming = xp.no(cooling) & (old.warmup > 0)
        active = xp.no(cooling | warming)
        relative, absolute = (0.0, self.threshold) if self.threshold_mode == "abs" else (self.threshold, 0.0)
        better = active & sound & plainly(self.mode, metric, old.best, relative, absolute)
        good = xp.where(better, old.good + 1, 0)
        bad = xp.where(active & xp.no(better), old.bad + 1, 0)
        rise, cut = good > self.patience, bad > self.patience
        scale = self._moved(xp, old.scale, rise, cut)
        stuck = cut & xp.no(scale > self.minimum)
        waiting = xp.where(rise, self.reset_start, xp.where(stuck, old.waiting - 1, old.waiting))
        new = GreedyLRState(
            scale,
            xp.where(better, metric, old.best),
            xp.where(rise, 0, good),
            xp.where(cut, 0, bad),
            xp.where(cut, self.cooldown, xp.where(cooling, old.cooldown - 1, old.cooldown)),
            xp.where(rise, self.warmup, xp.where(warming, old.warmup - 1, old.warmup)),
            waiting,
            seen,
            recent,
        )
        new = xp.where(stuck & (waiting <= 0), self._afresh, new)
        return new, new.scale / self.base

    def _moved(self, xp: Space, scale: Number, rise: Any, cut: Any) -> Number:
        up = xp.minimum(scale / self.factor, self.maximum)
        down = xp.maximum(scale * self.factor, self.minimum)
        lower = xp.where(cut & (scale - down > self.eps), down, scale)
        return xp.where(rise & (up - scale > self.eps), up, lower)
