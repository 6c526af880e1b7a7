"""lrsched for PyTorch: schedules as real schedulers, update rules as real optimizers.

    scheduler = ScheduleLR(torch_optimizer, Warmup(500) >> Cosine(3e-4, 0.0, steps=9_500))
    optimizer = RuleOptimizer(model.parameters(), rules.Adam(), lr=Warmup(500) >> Cosine(3e-4, 0.0, steps=9_500))

`ScheduleLR` drives any torch optimizer, in any trainer that takes a torch scheduler. `RuleOptimizer` runs any rule of
`lrsched.rules` in place on torch parameters. `FeedbackLR` multiplies a schedule by the factor of a feedback rule, and
`run_range_test` looks for a learning rate. `averaged` holds the averages of Schedule-Free while a model is evaluated.
"""

from lrsched.installed import needs as _needs
from lrsched.pickling import publish as _publish

with _needs("lrsched_torch", "torch", "torch"):
    from lrsched_torch._imports.torch import from_torch
    from lrsched_torch._optimizer.averaged import averaged
    from lrsched_torch._optimizer.optimizer import RuleOptimizer
    from lrsched_torch._scheduler.feedback import FeedbackLR
    from lrsched_torch._scheduler.lightning import lightning_config
    from lrsched_torch._scheduler.range_test import run_range_test
    from lrsched_torch._scheduler.scheduler import ScheduleLR
    from lrsched_torch._scheduler.timm import TimmLR

__all__ = [
    "FeedbackLR",
    "RuleOptimizer",
    "ScheduleLR",
    "TimmLR",
    "averaged",
    "from_torch",
    "lightning_config",
    "run_range_test",
]

_publish(__name__)
