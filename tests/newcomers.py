"""Two curves and a rule that no file of the library names, as someone who adds them would write them.

As a plugin, `python -m pytest -p newcomers ...`, it makes them public and adds their lines to the samples.
"""

from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import strategies as st
from rule_samples import SAMPLES, Sample, unit
from samples import ENDLESS, RAMPS, Curve, weighted

import lrsched
from lrsched import rules
from lrsched._core.offers import CLASSES
from lrsched.arguments import Rate, Real


class Smoothstep(lrsched.Ramp):
    """A cubic that begins and ends level.

    The weight of `end` is `3 x**2 - 2 x**3` with x = t / steps.
    """

    def curve(self, x: Any, y: Any, space: Any) -> Any:
        """Return start (1 + 2 x) y**2 + end (1 + 2 y) x**2."""
        return self.start * (y * y * (1.0 + (x + x))) + self.end * (x * x * (1.0 + (y + y)))


class Fading(lrsched.Curve):
    """A decay without end: `start / sqrt(1 + t)`."""

    start: Rate

    def at(self, t: Any, space: Any) -> Any:
        """Return start / sqrt(1 + t)."""
        return self.start / space.sqrt(1.0 + t)


class PowerSignSlots(NamedTuple):
    """The mean of the gradients."""

    m: Any


class PowerSign(rules.Local):
    """Longer steps where gradient and mean agree: `-lr * exp(sign(g) * sign(m)) * g`.

    References:
        Bello et al., Neural Optimizer Search with Reinforcement Learning, ICML 2017. arXiv:1709.07417
    """

    b: Annotated[float, Real(low=0, high=1, open_high=True)] = 0.9

    def slots(self, full: rules.Full) -> PowerSignSlots:
        """Return a mean of zero."""
        return PowerSignSlots(full(0.0))

    def kernel(self, context: rules.Context) -> Any:
        """Return the update of one tensor."""
        xp = context.xp

        def update(p: Any, g: Any, slots: PowerSignSlots) -> tuple[Any, PowerSignSlots]:
            m = self.b * slots.m + (1.0 - self.b) * g
            return context.lr * xp.exp(xp.sign(g) * xp.sign(m)) * g, PowerSignSlots(m)

        return update


NEW = {"schedule": (Smoothstep, Fading), "rule": (PowerSign,)}
LINES = {
    Smoothstep: Curve(lambda a: Smoothstep(*a.ends, a.length), weighted(lambda s, x: x * x * (3 - 2 * x))),
    Fading: Curve(lambda a: Fading(a.rate), lambda s, t: s.start / (1 + t) ** 0.5),
    PowerSign: Sample(PowerSign(), st.builds(PowerSign, unit)),
}
# Until a test wants them nobody knows them.
for family, kinds in NEW.items():
    for kind in kinds:
        del CLASSES[family][kind.__name__]


def enter(patch: pytest.MonkeyPatch) -> None:
    """Make the classes public."""
    for family, kinds in NEW.items():
        home = {"schedule": lrsched, "rule": rules}[family]
        for kind in kinds:
            patch.setitem(CLASSES[family], kind.__name__, kind)
            patch.setattr(home, kind.__name__, kind, raising=False)
            patch.setattr(home, "__all__", sorted([*home.__all__, kind.__name__]))


def pytest_configure(config: pytest.Config) -> None:
    """Let all the tests know them."""
    enter(pytest.MonkeyPatch())
    RAMPS.append(LINES[Smoothstep])
    ENDLESS.append(LINES[Fading])
    SAMPLES.append(LINES[PowerSign])
