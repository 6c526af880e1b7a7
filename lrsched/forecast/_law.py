"""What all loss laws share: fitting, prediction, and how sure both are."""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from lrsched._core.check import Items, Many, OneOf, OrNone, Row, short
from lrsched._core.value import Value
from lrsched.arguments import PositiveOrNone, checked
from lrsched.forecast._path import COARSE, FINE, Array, Path, Steps, rates, trace, whole_steps
from lrsched.forecast._prior import ALPHA, FREE, Prior, View
from lrsched.forecast._solve import Solution, minimise

# Relative error that a law makes even where it fits; less where the loss moves by less than SPAN in all, as it does
# over a high floor. Such errors are smooth: however densely a curve was sampled, it holds no more than so many
# independent ones.
DISCREPANCY = 0.002
SPAN = 0.1
INDEPENDENT = 30
# The strength of the response to the rate counts as known if the data, with what is believed of the other parameters,
# give its logarithm to this precision.
KNOWN = 0.5
# A law that is off by more than this over the later half of a curve does not describe it: on the worst of 201 runs of
# ten language models, each fitted with the others of its model, the functional law is off by 0.006. Noise allows more.
MISFIT, NOISY = 0.01, 4.0
# First guesses of the floor of the loss, over the lowest loss seen.
FLOORS = (0.6, 0.85)

Curve = tuple[Any, ArrayLike, ArrayLike]
CURVE = Items((OneOf(object, "rates"),) * 3, "three things, (lr, steps, loss)")


class UnidentifiedWarning(UserWarning):
    """The rates of the curves never moved enough to show how the loss responds to them."""


class MisfitWarning(UserWarning):
    """No law of this kind describes the curves together."""


class Margin(NamedTuple):
    """How far off a law is, by the protocol of experiments/forecast_models.py or forecast_laws.py."""

    trust: float  # standard deviation of a forecast over that of the posterior
    drift: float  # error as a part of the change that the law predicts from the last point seen
    least: float  # error as a part of the loss
    fresh: float  # the same for a run of which nothing was seen
    # Where training begins no law holds: the relative error per relative height over the lowest loss seen, and per its
    # square. Else a warm-up would wreck the fit.
    high: float = 0.0
    early: float = 0.05


class Points(NamedTuple):
    """Observations of one curve."""

    trace: Any  # what the law sees of its rates
    loss: Array  # `(n,)`, > 0
    noise: Array  # `(n,)`: standard deviation of log(loss)
    early: Array | float = 0.0  # `(n,)`: how far off a law is because training has just begun


class _Known:
    """What every law says of itself, after its parameters."""

    peak: float
    spread: float
    covariance: tuple[float, ...]
    status: str


class Law(_Known, Value, abstract=True):
    """A parametric law of the loss under any sequence of learning rates.

    A law has parameters (all > 0, named in `parameters`), `peak`, the unit of its rates, and what a fit says about
    itself: `spread`, the standard deviation of the logarithm of observed over predicted loss; `covariance` of the
    logarithms of the parameters, row by row (Laplace); and `status`: "given", "identified" or "unidentified".
    """

    kind: ClassVar[str] = "law"
    positional: ClassVar[int] = 0
    # Names of the parameters; the one that scales the response to a change of the rate; and what is believed of them.
    parameters: ClassVar[tuple[str, ...]]
    response: ClassVar[str]
    prior: ClassVar[Prior]
    # Powers of the unit of the rates in the parameters, apart from the scale of the reducible loss.
    powers: ClassVar[tuple[float, ...]] = ()
    # Measured on final losses of language models, from prefixes of their runs.
    margin: ClassVar[Margin] = Margin(trust=0.7, drift=0.05, least=0.0015, fresh=0.004)

    @classmethod
    def _see(cls, path: Path, steps: Steps, resolution: float) -> Any:
        """Return what the law needs to know of rates over its unit, as seen from each of some steps."""
        return trace(path, steps, resolution)

    @staticmethod
    def _progress(theta: Array, trace: Any) -> float:
        """Return how far the run has come at its last point, in the unit of the power of the reducible loss."""
        return float(trace.area.max())

    @classmethod
    def _view(cls, prior: Prior, unit: float) -> View:
        """Return how a prior looks at parameters for rates in a unit."""
        ratio = np.log(unit / prior.rate) if prior.rate is not None else 0.0
        shift = ratio * np.array(cls.powers or np.zeros(len(cls.parameters)))
        response = cls.parameters.index(cls.response)
        return View(response, float(np.log(prior.reference) - ratio), shift, prior.rate is not None)

    @staticmethod
    @abstractmethod
    def _model(theta: Array, trace: Any) -> tuple[Array, Array]:
        """Return the loss `(n,)` and its derivatives `(n, p)` by the logarithms `theta` `(p,)` of the parameters."""

    def _check(self) -> None:
        size = len(self.parameters) ** 2
        if len(self.covariance) not in (0, size):
            name = type(self).__name__
            raise ValueError(f"{name}(covariance=...) must hold 0 or {size} numbers, got {len(self.covariance)}")

    @property
    def theta(self) -> Array:
        """Logarithms of the parameters, float64 `(p,)`."""
        return np.log([getattr(self, name) for name in self.parameters])

    @classmethod
    @checked
    def fit(
        cls,
        curves: Annotated[Sequence[Curve], Many(CURVE)],
        prior: Annotated[Prior | None, OrNone(OneOf(Prior, "a Prior"))] = None,
        *,
        peak: PositiveOrNone = None,
    ) -> Self:
        """Fit the law to observed loss curves.

        It minimises a Huber loss of the residuals of log(loss) plus the prior, by Levenberg-Marquardt. Residuals of a
        law are smooth, so a curve counts for no more than a few dozen independent points, however densely it was
        sampled.

        Args:
            curves: a list of `(lr, steps, loss)`. `lr`: the rate of every step from 0, warm-up included, an array
                `(n,)` or a schedule. `steps`, `loss`: the points observed, `(m,)` each, steps < n, loss > 0. Points
                before the first positive rate say nothing and are left out.
            prior: what is believed beforehand; by default the class attribute `prior`, from language models.
            peak: the unit of the rates; by default the largest rate of all curves.

        Returns:
            The law, with `spread`, `covariance` and `status`.

        Raises:
            ValueError: a curve is not as described, or there are fewer points than parameters.

        Warns:
            UnidentifiedWarning: the rates never moved enough to show how the loss responds to them. The law still
                describes these curves; what it says of other schedules is mostly the prior.
            MisfitWarning: it does not describe these curves together, as where they are of different models.
        """
        observed = [_observe(f"{cls.__name__}.fit(curves=...)[{i}]", *curve) for i, curve in enumerate(curves)]
        largest = max(float(path.rate.max()) for path, _, _ in observed)
        unit = peak if peak is not None else largest
        points = [_points(cls._see(path.over(unit), steps, COARSE), loss, cls.margin) for path, steps, loss in observed]
        law = cls._fit(points, prior or cls._usual(largest), unit)
        off = [_off(cls._model(law.theta, each.trace)[0], each) for each in points]
        worst = int(np.argmax(np.abs(off)))
        if len(points) > 1 and off[worst]:
            warnings.warn(
                f"no {cls.__name__} describes these curves together: what it says of curves[{worst}] is off by "
                f"{off[worst]:+.1%}; fit runs of one model on one set of data",
                MisfitWarning,
                stacklevel=2,
            )
        if law.status == "unidentified":
            warnings.warn(
                "the rates of these curves do not show how the loss responds to a change of rate: what this "
                f"{cls.__name__} says of other schedules is mostly its prior; add a run with a drop of the rate",
                UnidentifiedWarning,
                stacklevel=2,
            )
        return law

    @classmethod
    def _usual(cls, largest: float) -> Prior:
        """Return what is believed of runs with this largest rate if nobody says anything."""
        return cls.prior

    @classmethod
    def _fit(cls, points: Sequence[Points], prior: Prior, unit: float, start: Array | None = None) -> Self:
        """Fit to prepared points; `start` is a first guess of theta instead of those from the data."""
        if len(prior.centre) != len(cls.parameters):
            raise ValueError(
                f"a prior of {cls.__name__} must have {len(cls.parameters)} centres, got {len(prior.centre)}"
            )
        loss = np.concatenate([each.loss for each in points])
        if loss.size < len(cls.parameters):
            raise ValueError(f"{cls.__name__}.fit needs at least {len(cls.parameters)} points, got {loss.size}")
        own = np.concatenate([_discrepancy(each.loss) + each.early for each in points]) ** 2
        variance = np.concatenate([each.noise for each in points]) ** 2 + own
        extra = own * max(0.0, loss.size / (INDEPENDENT * len(points)) - 1)

        def logarithms(theta: Array) -> tuple[Array, Array]:
            parts = [cls._model(theta, each.trace) for each in points]
            value = np.concatenate([part[0] for part in parts])
            return np.log(value), np.concatenate([part[1] for part in parts]) / value[:, None]

        centre, scales, view = np.log(prior.centre), prior._scales(), cls._view(prior, unit)

        def belief(theta: Array) -> tuple[Array, Array]:
            return scales @ (view.believed(theta) - centre), scales @ view.slope(theta)

        def search(first: Array) -> Solution:
            return minimise(logarithms, np.log(loss), np.sqrt(variance), variance / (variance + extra), belief, first)

        def first(floor: float) -> Array:
            """Return the prior's centre with the floor and the scale of the loss fitted to the lowest loss seen."""
            low = np.log(loss.min())
            theta = view.first(np.array(prior.centre), low + np.log(floor), 0.0)
            last = max(cls._progress(theta, each.trace) for each in points)
            scale = low + np.log(1 - floor) + np.exp(theta[ALPHA]) * np.log(last)
            return view.first(np.array(prior.centre), theta[0], float(scale))

        starts = [start] if start is not None else list(map(first, FLOORS))
        best = min(map(search, starts), key=lambda found: found.objective)
        covariance = np.linalg.inv(best.information + best.belief)
        fields: dict[str, Any] = dict(zip(cls.parameters, np.exp(best.theta).tolist(), strict=True))
        fields["peak"] = unit
        fields["spread"] = float(np.median(np.abs(best.residual) * np.sqrt(variance)) * 1.4826)
        fields["covariance"] = tuple(((covariance + covariance.T) / 2).ravel().tolist())
        fields["status"] = "identified" if cls._blind(best, prior, view) < KNOWN else "unidentified"
        return cls(**fields)

    @classmethod
    def _blind(cls, found: Solution, prior: Prior, view: View) -> float:
        """Return the standard deviation of the log response without any belief about the response itself."""
        i = view.response
        covariance = np.linalg.inv(prior._scales().T @ prior._scales())
        covariance[i, :] = covariance[:, i] = 0.0
        covariance[i, i] = FREE**2
        slope = view.slope(found.theta)
        belief = slope.T @ np.linalg.inv(covariance) @ slope
        return float(np.sqrt(np.linalg.inv(found.information + belief)[i, i]))


def _discrepancy(loss: Array) -> Array:
    """Return the relative errors that a law makes on a curve however well it fits."""
    return np.full(loss.shape, DISCREPANCY * min(1.0, float(np.ptp(np.log(loss))) / SPAN + 1e-3))


def _off(said: Array, seen: Points) -> float:
    """Return the relative error over the later half of a curve, or 0 if it is no more than laws and noise make."""
    half = seen.loss.size // 2
    off = float(np.median((said / seen.loss - 1.0)[half:]))
    return off if abs(off) > MISFIT + NOISY * float(seen.noise[0]) / np.sqrt(half + 1) else 0.0


def _observe(where: str, lr: Any, steps: ArrayLike, loss: ArrayLike) -> tuple[Path, Any, Array]:
    at = whole_steps(f"{where}.steps", steps)
    seen = Row()(f"{where}.loss", loss)
    if seen.shape != at.shape or not (np.isfinite(seen).all() and (seen > 0).all()):
        raise ValueError(
            f"{where}.loss must hold one finite loss > 0 for each of its {at.size} steps, got {short(loss)}"
        )
    path = rates(f"{where}.lr", lr, int(at.max()))
    moving = path.area(at) > 0
    if not moving.any():
        raise ValueError(f"{where} must have a point after the first rate > 0, got none")
    return path, at[moving], seen[moving]


def _points(seen: Any, loss: Array, margin: Margin) -> Points:
    # Half the squared second difference of white noise has three times its variance; a smooth curve has next to none.
    bend = np.diff(np.log(loss), 2) if loss.size > 4 else np.zeros(1)
    noise = float(np.median(np.abs(bend))) * 1.4826 / np.sqrt(6.0)
    high = loss / loss.min() - 1.0
    return Points(seen, loss, np.full(loss.shape, noise), high * (margin.high + margin.early * high))


A_LAW = OneOf(Law, "a loss law")


@checked
def predict(law: Annotated[Law, A_LAW], lr: Any, steps: ArrayLike) -> Array:
    """The loss that a law predicts at some steps of a run.

    Args:
        law: the law.
        lr: the rate of every step from 0, warm-up included: an array `(n,)` or a schedule.
        steps: where the loss is wanted, integers >= 0, < n.

    Returns:
        The loss after the updates `steps`, float64 `(m,)`; inf where no update has had a positive rate yet.

    Raises:
        ValueError: `lr` or `steps` is not as described.

    Examples:
        >>> from lrsched import Constant, Cooldown, Warmup
        >>> from lrsched.forecast import MultiPowerLaw
        >>> law = MultiPowerLaw(l0=2.65, a=0.601, alpha=0.453, b=438.0, c=2.13, beta=0.598, gamma=0.655)
        >>> stable = Warmup(2000) >> Constant(3e-4, steps=18_000)
        >>> [round(float(loss), 3) for loss in predict(law, stable >> Cooldown(4000), [19_999, 21_999, 23_999])]
        [3.054, 2.985, 2.925]
    """
    at = whole_steps("predict(steps=...)", steps)
    return law._model(law.theta, law._see(rates("predict(lr=...)", lr, int(at.max())).over(law.peak), at, FINE))[0]
