"""The update rules as the tests know them: a line for each, with the rule that libraries and engines are compared on.

A new rule needs its class and one line here to be in the tests of text, configurations, arguments, array libraries,
blocks, rows, graphs and loops. What it equals in PyTorch, Optax or Keras is a case in `rule_cases`.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lrsched import rules

unit = st.floats(0.0, 0.999)
positive = st.floats(1e-10, 10.0)
natural = st.floats(0.0, 10.0)
_EPS_AT = st.sampled_from(["outside", "inside"])


@dataclass(frozen=True)
class Sample:
    """What the tests know of a rule.

    Args:
        rule: the one that is compared.
        drawn: rules of its class with any arguments.
    """

    rule: rules.Rule
    drawn: st.SearchStrategy[rules.Rule]

    @property
    def alone(self) -> bool:
        """Whether tensors may be cut, joined and updated one by one."""
        return self.rule.packs and not self.rule.couples

    @property
    def sums(self) -> bool:
        """Whether it asks for sums over the elements of a tensor."""
        return asks_for_sums(self.rule)


def asks_for_sums(rule: rules.Rule) -> bool:
    """Return whether the first update of a rule needs a reduction."""
    p = np.ones((2, 2))
    context = rules.Context.of_list(rules.ops_of(p), [2], 0.1, 0)  # type: ignore[arg-type]  # NumPy is known
    body: Any = partial(_body, rule, p, rule.init(p))
    return rules.next_reduction(body, context, []) is not None


def _body(rule: rules.Rule, p: np.ndarray, slots: Any, context: rules.Context) -> Any:
    return rule.body(context, [p], [p], [slots])


SAMPLES = [
    Sample(rules.SGD(), st.just(rules.SGD())),
    Sample(
        rules.Momentum(0.9, dampening=0.5, first_step="clone"),
        st.builds(
            rules.Momentum, unit, unit, first_step=st.sampled_from(["zero", "clone"]), lr_in_buffer=st.booleans()
        ),
    ),
    Sample(rules.Nesterov(0.9), st.builds(rules.Nesterov, unit, lr_in_buffer=st.booleans())),
    Sample(rules.AdaGrad(), st.builds(rules.AdaGrad, positive, _EPS_AT, natural)),
    Sample(
        rules.RMSprop(eps=1e-2, momentum=0.9, centered=True),
        st.builds(
            rules.RMSprop,
            unit,
            positive,
            eps_at=_EPS_AT,
            momentum=unit,
            centered=st.booleans(),
            initial=natural,
            bias_correction=st.booleans(),
            lr_in_buffer=st.booleans(),
        ),
    ),
    Sample(
        rules.Adam(),
        st.builds(
            rules.Adam,
            unit,
            unit,
            positive,
            st.sampled_from(["outside", "inside", "hat"]),
            st.sampled_from(["off", "raw", "corrected"]),
            st.booleans(),
            st.booleans(),
            natural,
        ),
    ),
    Sample(rules.Lion(), st.builds(rules.Lion, unit, unit)),
    Sample(rules.SignSGD(), st.just(rules.SignSGD())),
    Sample(rules.AdaDelta(), st.builds(rules.AdaDelta, unit, positive)),
    Sample(rules.NAdam(), st.builds(rules.NAdam, unit, unit, positive, st.none() | natural, natural)),
    Sample(
        rules.RAdam(b2=0.75, threshold=4.0),
        st.builds(
            rules.RAdam,
            unit,
            unit,
            positive,
            st.sampled_from(["hat", "outside"]),
            st.floats(4.0, 20.0),
            st.booleans(),
            natural,
        ),
    ),
    Sample(rules.Adamax(), st.builds(rules.Adamax, unit, unit, positive, _EPS_AT)),
    Sample(rules.AdaBelief(eps=1e-4), st.builds(rules.AdaBelief, unit, unit, positive, natural, st.booleans())),
    Sample(rules.Yogi(), st.builds(rules.Yogi, unit, unit, positive, natural, natural)),
    Sample(rules.Adan(), st.builds(rules.Adan, unit, unit, unit, positive, st.none() | unit, natural)),
    Sample(rules.NovoGrad(weight_decay=0.1), st.builds(rules.NovoGrad, unit, unit, positive, natural, natural)),
    Sample(
        rules.Rprop(),
        st.builds(
            rules.Rprop, st.floats(0.1, 0.9), st.floats(1.1, 3.0), initial=st.none() | positive, largest=st.just(100.0)
        ),
    ),
    Sample(rules.Adafactor(), st.builds(rules.Adafactor, positive, natural, momentum=unit)),
    Sample(rules.Muon(), st.builds(rules.Muon, unit, st.booleans(), bias_correction=st.booleans())),
    Sample(rules.Prodigy(d0=0.1), st.builds(rules.Prodigy, unit, unit, eps=positive, weight_decay=natural)),
]


def alone() -> list[Sample]:
    """Return the lines of the rules for which tensors may be cut, joined and updated one by one."""
    return [sample for sample in SAMPLES if sample.alone]
