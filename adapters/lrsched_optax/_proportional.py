"""Whether the learning rate of a rule can be multiplied afterwards."""

from functools import lru_cache

import numpy as np

from lrsched.rules import Rule

# So far apart that a clip of the update which ever matters shows.
_RATES = (1.0, 1e12, 1e-12)


@lru_cache(maxsize=256)
def is_proportional(rule: Rule) -> bool:
    """Return whether each update is the learning rate times what the rule gives at learning rate 1.

    Tried on a matrix and on a vector, with rates that change: a velocity that contains the learning rate, a clip of the
    update and a decay that is not multiplied by it fail.
    """
    return all(_holds(rule, np.linspace(1.0, 2.0, 6).reshape(shape)) for shape in ((2, 3), (6,)))


def _holds(rule: Rule, p: np.ndarray) -> bool:
    slots = at_one = rule.init(p)
    for step, lr in enumerate(_RATES):
        g = np.cos(p + step)
        delta, slots = rule.delta(p, g, slots, lr=lr, step=step)
        unit, at_one = rule.delta(p, g, at_one, lr=1.0, step=step)
        if not np.allclose(delta, lr * unit, rtol=1e-9, atol=0.0):
            return False
    return True
