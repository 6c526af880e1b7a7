"""Lower the learning rate when a metric no longer improves."""

from typing import Annotated, Any, NamedTuple

from lrsched._core.check import Choice, Int, Real
from lrsched.feedback._base import Feedback
from lrsched.feedback._compare import MODES, plainly, safely, worst
from lrsched.feedback._space import Number, Space


class PlateauState(NamedTuple):
    """The state of `Plateau`."""

    scale: float  # the rate, in the unit of `base`
    best: float
    bad: int  # evaluations without improvement
    cooldown: int  # evaluations that are still forgiven
    started: bool  # whether there was an evaluation
    seen: int  # metrics in `average`
    average: float


class Plateau(Feedback):
    """Multiply the rate by `factor` when the metric has stopped improving.

    Dialects, each equal to its library's own rule, evaluation by evaluation:

    * "lrsched": better is a finite metric below `best - threshold * abs(best)` ("rel") or `best - threshold` ("abs"),
      so negative metrics work; NaN and infinities are bad and never become the best. It cuts when more than
      `patience` evaluations in a row were bad; evaluations of the cool-down do not count.
    * "torch" (`torch.optim.lr_scheduler.ReduceLROnPlateau`): the same, but "rel" means `best * (1 - threshold)`, which
      is backwards for negative metrics, and an infinite metric may become the best. NaN is bad.
    * "keras" (`keras.callbacks.ReduceLROnPlateau`): `metric + threshold < best`, both rounded to float32; cuts when
      `patience` evaluations were bad, one earlier than torch; the last evaluation of the cool-down counts; at the
      minimum it keeps counting. The first metric is always the best, even NaN, which nothing improves on.
    * "optax" (`optax.contrib.reduce_on_plateau`): `(1 - threshold) * best - atol`, cuts when exactly `patience`
      evaluations were bad; with `patience=0` therefore on every improvement. Minimises only. NaN is bad.

    Torch and Keras bound the learning rate, not a factor. Give `base=lr`, and `minimum` and `eps` are in the unit of
    the learning rate: `minimum=min_lr`. Keras's `min_delta` is `threshold`; Optax's `rtol` is `threshold`.

    Args:
        mode: "min" if the metric is to fall, "max" if it is to rise.
        factor: what a cut multiplies the rate by, between 0 and 1.
        patience: bad evaluations that are tolerated, at least 0.
        threshold: by how much a metric must be better, at least 0.
        threshold_mode: "rel", "abs" or "auto": relative, but absolute in Keras, which knows nothing else.
        cooldown: evaluations after a cut that cannot be bad.
        minimum: smallest rate, in the unit of `base`; at most `base`.
        dialect: whose rule, see above.
        accumulation: metrics averaged to one evaluation, at least 1.
        atol: absolute margin on top of `threshold`.
        eps: a cut that changes the rate by no more is left out (torch: 1e-8), in the unit of `base`.
        base: the rate that the factor 1 stands for, > 0.

    Raises:
        ValueError: `minimum` exceeds `base`, or the dialect knows no such mode, threshold mode or `eps`.

    Examples:
        >>> rule = Plateau(factor=0.5, patience=0)
        >>> state, factor = rule.update(rule.init(), 1.0)
        >>> state, factor = rule.update(state, float("nan"))
        >>> factor
        0.5
    """

    mode: Annotated[str, Choice(MODES)] = "min"
    factor: Annotated[float, Real(0.0, 1.0, open_low=True, open_high=True)] = 0.1
    patience: Annotated[int, Int()] = 10
    threshold: Annotated[float, Real(low=0.0)] = 1e-4
    threshold_mode: Annotated[str, Choice(("auto", "rel", "abs"))] = "auto"
    cooldown: Annotated[int, Int()] = 0
    minimum: Annotated[float, Real(low=0.0)] = 0.0
    dialect: Annotated[str, Choice(("lrsched", "torch", "keras", "optax"))] = "lrsched"
    accumulation: Annotated[int, Int(low=1)] = 1
    atol: Annotated[float, Real(low=0.0)] = 0.0
    eps: Annotated[float, Real(low=0.0)] = 0.0
    base: Annotated[float, Real(low=0.0, open_low=True)] = 1.0

    def _check(self) -> None:
        if self.minimum > self.base:
            raise ValueError(f"Plateau(minimum=...) must be <= base={self.base}, got {self.minimum}")
        if self.dialect == "keras" and self.threshold_mode == "rel":
            raise ValueError("Plateau(threshold_mode=...) must be 'abs' for dialect='keras', got 'rel'")
        if self.dialect == "optax" and self.mode != "min":
            raise ValueError(
                f"Plateau(mode=...) must be 'min' for dialect='optax', got {self.mode!r}: negate the metric"
            )
        if self.dialect in ("keras", "optax") and self.eps != 0.0:
            raise ValueError(f"Plateau(eps=...) must be 0 for dialect={self.dialect!r}, got {self.eps}")

    def init(self) -> PlateauState:
        """Return the state before the first metric."""
        return PlateauState(self.base, worst(self.mode), 0, 0, False, 0, 0.0)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[PlateauState, Number]:
        """Return the next state and the factor."""
        (metric,) = numbers
        old: PlateauState = state
        if self.accumulation == 1:
            new = self._evaluate(xp, old, metric)
        else:
            average = (xp.real(old.seen) * old.average + metric) / xp.real(old.seen + 1)
            full = old.seen + 1 == self.accumulation
            judged = self._evaluate(xp, PlateauState(*old[:5], seen=0, average=0.0), average)
            waiting = PlateauState(*old[:5], seen=old.seen + 1, average=average)
            new = xp.where(full, judged, waiting)
        return new, new.scale / self.base

    def _evaluate(self, xp: Space, old: PlateauState, metric: Number) -> PlateauState:
        better = self._better(xp, old, metric)
        best = xp.where(better, metric, old.best)
        cooling = old.cooldown > 0
        cooldown = xp.where(cooling, old.cooldown - 1, old.cooldown)
        if self.dialect == "keras":
            bad = xp.where(better | (cooldown > 0), 0, xp.where(cooling, 0, old.bad) + 1)
            due = xp.no(better) & (cooldown <= 0) & (bad >= self.patience) & (old.scale > self.minimum)
        else:
            bad = xp.where(better | cooling, 0, old.bad + 1)
            exact = self.dialect == "optax"
            due = xp.no(cooling) & (bad == self.patience) if exact else bad > self.patience
        scale = self._cut(xp, old.scale, due)
        bad = xp.where(due, 0, bad)
        cooldown = xp.where(due, self.cooldown, cooldown)
        # Not by `_replace`, which PyTorch 2.9 cannot trace.
        return PlateauState(scale, best, bad, cooldown, True, old.seen, old.average)

    def _better(self, xp: Space, old: PlateauState, metric: Number) -> Any:
        kind = self.threshold_mode if self.threshold_mode != "auto" else "abs" if self.dialect == "keras" else "rel"
        relative, absolute = (self.threshold, 0.0) if kind == "rel" else (0.0, self.threshold)
        absolute += self.atol
        if self.dialect == "lrsched":
            return safely(xp, self.mode, metric, old.best, relative, absolute)
        if self.dialect == "keras":
            past = xp.single(metric + absolute if self.mode == "min" else metric - absolute)
            best = xp.single(old.best)
            return xp.no(old.started) | (past < best if self.mode == "min" else past > best)
        return plainly(self.mode, metric, old.best, relative, absolute)

    def _cut(self, xp: Space, scale: Number, due: Any) -> Number:
        lower = xp.maximum(scale * self.factor, self.minimum)
        return xp.where(due & (scale - lower > self.eps), lower, scale)
