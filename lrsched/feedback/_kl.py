"""The rate of a policy that is trained against its own past: it answers how far an update has moved the policy."""

from typing import Annotated, Any, NamedTuple

from lrsched._core.check import Flag, Real
from lrsched.feedback._base import Feedback
from lrsched.feedback._space import Number, Space


class KLAdaptiveState(NamedTuple):
    """The state of `KLAdaptive`."""

    scale: float


class KLAdaptive(Feedback):
    """Lower the rate where a policy has moved too far, raise it where too little.

    It observes the Kullback-Leibler divergence of the new policy from the old one, after each epoch or batch of PPO.
    Above `target * band` the rate is divided by `ratio`, below `target / band` multiplied with it, and between the
    two it stays. A NaN changes nothing; an infinite divergence is too large.

    With a base rate `lr`, `minimum` and `maximum` are the smallest and the largest rate over `lr`. The numbers of
    skrl are the defaults for `lr=1e-3`, with rates from 1e-6 to 1e-2. rl_games has the same. rsl_rl has `target=0.01`,
    rates from 1e-5 to 1e-2 and `hold_at_zero=True`.

    Args:
        target: the divergence that an update should have, > 0.
        ratio: what the rate is multiplied with or divided by, > 1.
        band: how many times the target is too much, and its inverse too little, > 1.
        minimum: smallest factor of the base rate, at most 1.
        maximum: largest factor of the base rate, at least 1.
        hold_at_zero: whether a divergence of 0 or less, as that of a policy from itself, changes nothing.

    Examples:
        >>> rule = KLAdaptive(target=0.01)
        >>> state = rule.init()
        >>> for kl in [0.03, 0.03, 0.01, 0.004]:
        ...     state, factor = rule.update(state, kl)
        ...     print(round(factor, 3), end=" ")
        0.667 0.444 0.444 0.667

    References:
        Schulman et al., Proximal Policy Optimization Algorithms, 2017, section 4. arXiv:1707.06347 (for a penalty).
        KLAdaptiveLR of skrl and AdaptiveScheduler of rl_games; the adaptive schedule of PPO in rsl_rl.
    """

    target: Annotated[float, Real(low=0.0, open_low=True)] = 0.008
    ratio: Annotated[float, Real(low=1.0, open_low=True)] = 1.5
    band: Annotated[float, Real(low=1.0, open_low=True)] = 2.0
    minimum: Annotated[float, Real(low=0.0, high=1.0)] = 1e-3
    maximum: Annotated[float, Real(low=1.0)] = 10.0
    hold_at_zero: Annotated[bool, Flag()] = False

    def init(self) -> KLAdaptiveState:
        """Return the state before the first update."""
        return KLAdaptiveState(1.0)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[KLAdaptiveState, Number]:
        """Return the next state and the factor."""
        (kl,) = numbers
        little = kl < self.target / self.band
        if self.hold_at_zero:
            little = little & (kl > 0.0)
        scale = state.scale
        lower, higher = xp.maximum(scale / self.ratio, self.minimum), xp.minimum(scale * self.ratio, self.maximum)
        scale = xp.where(kl > self.target * self.band, lower, xp.where(little, higher, scale))
        return KLAdaptiveState(scale), scale
