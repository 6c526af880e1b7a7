"""The update rules of `lrsched.rules` as Optax transforms.

A schedule needs no adapter: it is a function of the update count, which is what Optax calls a schedule.

>>> import optax
>>> from lrsched import Cosine, Warmup
>>> optimizer = optax.adam(Warmup(500) >> Cosine(3e-4, 0.0, steps=9_500))

A rule becomes a whole optimizer with `from_rule`, or one link of an `optax.chain` with `scale_by_rule`.
A feedback rule becomes a link with `scale_by_feedback`; `run_range_test` looks for a learning rate. `averaged` gives
the parameters of Schedule-Free that are to be evaluated.
"""

from lrsched.installed import needs as _needs
from lrsched.pickling import publish as _publish

with _needs("lrsched_optax", "optax", "jax", "optax"):
    from lrsched_optax._averaged import averaged
    from lrsched_optax._feedback import FeedbackState, scale_by_feedback
    from lrsched_optax._import import Imported, from_optax
    from lrsched_optax._range_test import run_range_test
    from lrsched_optax._transform import RuleState, from_rule, scale_by_rule

__all__ = [
    "FeedbackState",
    "Imported",
    "RuleState",
    "averaged",
    "from_optax",
    "from_rule",
    "run_range_test",
    "scale_by_feedback",
    "scale_by_rule",
]

_publish(__name__)
