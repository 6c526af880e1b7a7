"""The return model: what a run will have come to at its horizon, under its plan and under others."""

import math
from collections.abc import Iterator
from dataclasses import field
from functools import lru_cache
from statistics import NormalDist
from typing import Annotated, Any, ClassVar

import numpy as np

from lrsched._core.check import Flag, Int, OneOf, OrNone, Real, short
from lrsched._core.value import Value, settle
from lrsched._curves import Complete, Constant, Hold, Schedule
from lrsched.arguments import checked
from lrsched.forecast._explain import Explanation, Fan, explain
from lrsched.forecast._forecast import Coverage, Forecast, Sight, interval, look, spread_of
from lrsched.forecast._multipower import MultiPowerLaw
from lrsched.forecast._plan import stable_then_decay
from lrsched.forecast._prior import Prior
from lrsched.forecast._record import BINS, Record, advance, continued, points_of
from lrsched.forecast._state import STATUS, Advantage, ReturnState, Switch, general_prior, restored

# In hundredths of the horizon. The law is fitted from FIRST on, every REFIT; the first SKIP are the start of training,
# which no law describes. A model that acts lowers the rate to DEPTH of the default between DIP[0] and DIP[1], to see
# the response, and decides from DECIDE on.
FIRST, REFIT, SKIP = 15, 4, 2
DIP, DEPTH, DECIDE = (35, 41), 0.6, 46
# Other plans: keep the present rate, then one decay to 0 over such a part of the horizon and of such a power.
DECAYS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
POWERS = (1.0, 1.5, 2.0)
# One plan is better than another if its gain is more than so many standard deviations: with probability 0.85.
SURE = 1.04
# No more advice once the rate is below this part of its largest value: the last decay has begun.
LATE = 0.5
# Below this part of the loss, the floor of the law says that the loss is heading to zero.
LOW = 0.1
# The rest of the run is read at this many points.
CELLS = 128
# Points of a drawn forecast, and of a drawn plan.
POINTS, CURVE = 24, 257


# What the methods take.
A_STATE = OneOf(ReturnState, "a ReturnState")
State = Annotated[ReturnState, A_STATE]
Plan = Annotated[Schedule, Complete()]
PlanOrNone = Annotated[Schedule | None, OrNone(Complete())]


class ReturnModel(Value):
    """Predicts the loss of a run at its horizon, and advises a better plan where it is sure of one.

    It watches the losses and the rates of a run, fits a `MultiPowerLaw` to them every 4 % of the horizon, and compares
    the present plan with others that keep the present rate and end in one decay to 0. It never raises the rate and
    speaks only of a gain that is positive with probability 0.85. By default it advises: `update` returns the rate of
    the default plan, and `adopt` takes the advice. With `act=True` it adopts by itself; to see how the loss responds to
    the rate at all, it then lowers the rate to 60 % between 35 and 41 % of the horizon.

    What it cannot do. It needs the horizon: the best next rate is no function of the state of the run alone. It learns
    only from rates that moved; without a `prior` from earlier runs it advises nothing before they have. The error of
    predicted differences between plans is 0.005-0.02 nats on language models, so a predicted gain is a reason to
    choose, not a promise. It says nothing of test accuracy. Not validated: restarts and cyclic rates, a changing mix of
    data, ramps of the batch size, reinforcement learning, interpolation (a loss near zero), averaged weights.

    It costs no extra gradients, only some 5 microseconds an update and some 20 milliseconds every 4 % of the run.

    Measured with `act=True`: on 72 fresh noisy quadratics its final excess loss is 1.08 times that of the best of eight
    fixed schedules in hindsight (worst 1.32), that of its default 1.33 times (worst 2.56). On MNIST, whose loss
    vanishes, it abstains, and the dip costs 0.02 to 0.05 points of test accuracy; it does not help there at a peak
    rate that is too high. See experiments/closed_loop_quadratic.py, with what did not help, and closed_loop_mnist.py.

    Args:
        horizon: length of the run in updates, at least 100.
        peak: the largest rate, > 0.
        default: the plan, a schedule; by default `peak`, and linear to 0 over the last fifth.
        prior: what earlier runs teach (`fit_prior`); by default loose beliefs that suit runs of any kind.
        every: updates between two observed losses, at least 1.
        act: whether to follow its own advice.

    Examples:
        >>> model = ReturnModel(horizon=1000, peak=0.1)
        >>> state = model.init()
        >>> for step in range(500):
        ...     loss = 1.0 + (step + 10) ** -0.5  # of the update with the rate state.lr
        ...     state, lr = model.update(state, loss)
        >>> mean, lo, hi = model.forecast(state)
        >>> lo < 1.0 + 1000**-0.5 < hi
        True
        >>> model.status(state)
        'blind'
    """

    kind: ClassVar[str] = "model"
    positional: ClassVar[int] = 2

    horizon: Annotated[int, Int(low=BINS)]
    peak: Annotated[float, Real(low=0.0, open_low=True)]
    default: Annotated[Schedule | None, OrNone(Complete())] = None
    prior: Annotated[Prior | None, OrNone(OneOf(Prior, "a Prior"))] = None
    every: Annotated[int, Int(low=1)] = 1
    act: Annotated[bool, Flag()] = False

    _base: Schedule = field(init=False)

    def _check(self) -> None:
        base = self.default or stable_then_decay(self.peak, self.horizon, self.horizon // 5, 1.0)
        if self.act:
            start, end = (part * self.horizon // BINS for part in DIP)
            base = base * (Constant(1.0, steps=start) >> Constant(DEPTH, steps=end - start) >> Constant(1.0))
        settle(self, "_base", base)

    def init(self) -> ReturnState:
        """Return the state before the first update; its `lr` is the rate of that update."""
        return ReturnState(Record(), self._base(0))

    def update(self, state: ReturnState, loss: float) -> tuple[ReturnState, float]:
        """Take in the loss of the last `every` updates, which used `state.lr`.

        Args:
            state: the state before them.
            loss: their loss. What is not between 1e-30 and 1e30 is counted in `state.record.refused` and left out.

        Returns:
            The new state and the rate of the next updates.
        """
        if type(state) is not ReturnState:
            A_STATE("ReturnModel.update(state=...)", state)
        old = state.record
        record = advance(
            old,
            loss if type(loss) is float else _number(loss),
            state.lr / self.peak,
            self.every,
            max(self.horizon // BINS, self.every),
        )
        state = ReturnState(record, state.lr, *state[2:])
        bins = len(record.points)
        if bins > len(old.points) and bins >= FIRST and (bins - FIRST) % REFIT == 0:
            state = self._refit(state)
        lr = self._plan(state)(record.step)
        return ReturnState(state.record, lr, *state[2:]), lr

    def _refit(self, state: ReturnState) -> ReturnState:
        # Before the response shows, any law fits: the search starts afresh until it does.
        start = np.array(state.theta) if state.identified else None
        points = [points_of(state.record, SKIP)]
        law = MultiPowerLaw._fit(points, self.prior or general_prior(self.horizon), self.peak, start)
        state = state._replace(
            theta=tuple(law.theta.tolist()), covariance=law.covariance, identified=law.status == "identified"
        )
        better, gain = self._best(state, law)
        state = state._replace(better=better, gain=gain)
        return self.adopt(state) if self.act else state

    def _best(self, state: ReturnState, law: MultiPowerLaw) -> tuple[Switch | None, tuple[float, float]]:
        best, found, most = None, (0.0, 0.0), 0.0
        if self.status(state) != "ready" or (self.act and len(state.record.points) < DECIDE):
            return best, found
        present = self._look(state, law, self._plan(state))[-1]
        for switch in self._candidates(state.record):
            then = self._look(state, law, _switched(self, switch))[-1]
            gain, sd = present.loss - then.loss, law.margin.trust * spread_of(law, then.slope - present.slope)
            if gain - SURE * sd > most:
                best, found, most = switch, (gain, sd), gain - SURE * sd
        return best, found

    def _candidates(self, record: Record) -> Iterator[Switch]:
        starts = (self.horizon - round(part * self.horizon) for part in DECAYS)
        return (
            Switch(record.step, record.rate, start, power)
            for start in starts
            if start >= record.step
            for power in POWERS
        )

    def _look(self, state: ReturnState, law: MultiPowerLaw, plan: Schedule, points: int = 1) -> list[Sight]:
        """Return what the law says of now and of `points` later updates, the last before the horizon."""
        step, left = state.record.step, max(self.horizon - state.record.step, 1)
        cells = max(min(CELLS, left), points)
        middles = np.floor(step + (np.arange(cells) + 0.5) * (left / cells)).astype(np.int64)
        return look(law, continued(state.record, plan(middles) / self.peak, step + left, points))

    @checked
    def status(self, state: State) -> str:
        """Return "early", "blind", "vanishing", "late" or "ready"; only a model that is ready advises."""
        if not state.theta:
            return "early"
        if math.exp(state.theta[0]) < LOW * state.record.points[-1][2]:
            return "vanishing"
        if state.record.rate < LATE * state.record.largest or state.record.step > (1 - DECAYS[0]) * self.horizon:
            return "late"
        return "ready" if state.identified or self.prior is not None else "blind"

    @checked
    def plan(self, state: State) -> Schedule:
        """Return the schedule of the whole run that it follows now."""
        return self._plan(state)

    def _plan(self, state: ReturnState) -> Schedule:
        return self._base if state.switch is None else _switched(self, state.switch)

    @checked
    def advice(self, state: State) -> Schedule | None:
        """Return the schedule of the whole run that it advises, or None to stay with the present plan."""
        return None if state.better is None else _switched(self, state.better)

    @checked
    def adopt(self, state: State) -> ReturnState:
        """Return the state after taking the advice, from the next update on; without advice, the same state."""
        if state.better is None:
            return state
        switch = state.better
        return state._replace(switch=switch, better=None, lr=_switched(self, switch)(state.record.step))

    @checked
    def law(self, state: State) -> MultiPowerLaw | None:
        """Return the law fitted to the run so far, or None if it is too early."""
        if not state.theta:
            return None
        fields: dict[str, Any] = dict(zip(MultiPowerLaw.parameters, np.exp(state.theta).tolist(), strict=True))
        known = "identified" if state.identified else "unidentified"
        return MultiPowerLaw(**fields | {"peak": self.peak, "covariance": state.covariance, "status": known})

    @checked
    def forecast(self, state: State, plan: PlanOrNone = None, coverage: Coverage = 0.8) -> Forecast:
        """Return the loss expected at the horizon, with an interval.

        Args:
            state: the run so far.
            plan: a schedule of the whole run, of which the rest counts; by default the present plan.
            coverage: the part of such intervals that should hold the truth, between 0 and 1.

        Returns:
            `(mean, lo, hi)`; `(nan, -inf, inf)` if it is too early.
        """
        return self._fan(state, plan or self._plan(state), 1, coverage)[-1]

    def _fan(self, state: ReturnState, plan: Schedule, points: int, coverage: float = 0.8) -> list[Forecast]:
        law = self.law(state)
        if law is None:
            return [Forecast(math.nan, -math.inf, math.inf)] * points
        now, *later = self._look(state, law, plan, points)
        return [interval(then, now.loss, spread_of(law, then.slope), coverage) for then in later]

    @checked
    def advantage(self, state: State, a: Plan, b: Plan, coverage: Coverage = 0.8) -> Advantage:
        """Return the final loss under `a` minus that under `b`, with an interval: above 0, b is better."""
        law = self.law(state)
        if law is None:
            return Advantage(math.nan, -math.inf, math.inf, 0.5)
        first, second = (self._look(state, law, plan)[-1] for plan in (a, b))
        difference = Sight(first.loss - second.loss, first.slope - second.slope)
        mean, lo, hi = interval(difference, 0.0, spread_of(law, difference.slope), coverage)
        sd = (hi - mean) / NormalDist().inv_cdf((1 + coverage) / 2)
        return Advantage(mean, lo, hi, NormalDist().cdf(mean / sd) if sd else 0.5)

    @checked
    def explain(self, state: State) -> Explanation:
        """Return what the model believes of the run, in words and as a picture."""
        now, left = state.record.step, self.horizon - state.record.step
        steps = now + left * np.arange(1, POINTS + 1) / POINTS
        every = np.round(np.linspace(0, self.horizon, CURVE)).astype(np.int64)
        plans = {"present plan": self._plan(state), "advised plan": self.advice(state)}
        shown = {label: plan for label, plan in plans.items() if plan is not None}
        foreseen = bool(state.theta) and left > 0
        fans = [
            Fan(label, np.asarray(plan(every)), steps, self._fan(state, plan, POINTS) if foreseen else [])
            for label, plan in shown.items()
        ]
        return explain(self.horizon, state, fans, STATUS[self.status(state)])

    def restore(self, content: Any) -> ReturnState:
        """Return the state that `json.loads(json.dumps(state))` has turned into lists.

        Raises:
            ValueError: `content` is not such a state.
        """
        return restored(content)


def _number(loss: Any) -> float:
    """Return a loss that is a number or a 0-d array of any library as a float."""
    try:
        if not isinstance(loss, str | bytes | bool):
            return float(loss)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError, RuntimeError):
        pass
    raise TypeError(f"ReturnModel.update(loss=...) must be a number, got {short(loss)}")


@lru_cache(maxsize=64)
def _switched(model: ReturnModel, switch: Switch) -> Schedule:
    rest = stable_then_decay(
        switch.level * model.peak, model.horizon - switch.step, model.horizon - switch.start, switch.power
    )
    return Hold(model._base, steps=switch.step) >> rest
