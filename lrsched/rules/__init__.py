"""Update rules as pure array mathematics, for NumPy, PyTorch, JAX and TensorFlow.

A rule is a frozen value without a learning rate inside. It is hashable and equal by content, so under `jax.jit` it is a
static argument that traces once; its `repr` builds it again.

    rule = ClipByGlobalNorm(1.0) >> Adam(b1=0.9) >> DecoupledWeightDecay(1e-2)
    slots = init(rule, params)                                                # the state: containers of arrays
    params, slots = apply(rule, params, grads, slots, lr=schedule(t), step=t)  # pure; t = 0, 1, 2, ...

`rule.init(p)` and `rule.delta(p, g, slots, lr=..., step=...)` do the same for one array. In PyTorch call them under
`torch.no_grad()`, or they build a graph.

* **Rules:** `SGD`, `Momentum`, `AdaGrad`, `AdaDelta`, `RMSprop`, `Adam`, `NAdam`, `RAdam`, `Adamax`, `AdaBelief`,
  `Yogi`, `Adan`, `NovoGrad`, `Lion`, `SignSGD`, `Rprop`, and expressions of these under their own names: `Nesterov`,
  `AMSGrad`, `AdamW`, `NAdamW`, `AdamaxW`, `Signum`, `LARS`, `LAMB`.
* **Parts** compose with `>>` around a rule. Before it they see the gradient: `ClipByValue`, `ClipByNorm`,
  `ClipByGlobalNorm`, `L2`, `L1`. After it they see the update, learning rate included: the clips again, and
  `DecoupledWeightDecay`.
* **`Layerwise`** puts the trust ratio of LARS on any rule: `Layerwise(RMSprop())`, `Layerwise(Adam())`.
* **Dialects:** where frameworks disagree, the rule has an argument, whose default is what PyTorch does.
* **Dtypes:** parameters in float16, bfloat16, float32, float64. Moments and arithmetic are float32, or float64 for
  float64 parameters. What depends on the step alone is computed in float64 if `lr` and `step` are Python numbers, else
  in the working dtype, through `expm1`. Results are rounded once.
* **inf and NaN** in a gradient pass through to the update and the moments; nothing is skipped or repaired, in NumPy
  without a warning. The sign of inf is 1: `SignSGD` and `Rprop` step as for any number, `Lion` until its average shows
  it. The clips, `Layerwise` and `NovoGrad` say what a norm that is not finite does.
* **Layouts:** `Rule.body(context, ps, gs, slots)` is the mathematics without checks and casts; every sum over elements
  is asked of the `Context`, so the same body runs packed or sharded.

A new rule that treats each tensor by itself is a subclass of `Local` with two methods, `slots` and `kernel`; one that
needs sums over elements is a subclass of `Rule` with `slots` and `body`.
"""

from lrsched._spaces.ops import Ops, ops_of
from lrsched.pickling import publish as _publish
from lrsched.rules._apply import apply, init
from lrsched.rules._library.adafactor import Adafactor, AdafactorSlots
from lrsched.rules._library.adamax import AdaBelief, Adamax, AdamaxSlots, Adan, AdanSlots, Yogi
from lrsched.rules._library.adaptive import (
    AdaDelta,
    AdaDeltaSlots,
    AdaGrad,
    AdaGradSlots,
    Adam,
    AdamSlots,
    RMSprop,
    RMSpropSlots,
)
from lrsched.rules._library.averaging import Prodigy, ProdigySlots, ScheduleFree, ScheduleFreeSlots, averages
from lrsched.rules._library.base import Link, Local, Part, Parts, Pipeline, Rule
from lrsched.rules._library.layerwise import Layerwise
from lrsched.rules._library.matrix import Muon, MuonSlots
from lrsched.rules._library.nadam import Moments, NAdam, RAdam
from lrsched.rules._library.novograd import NovoGrad, NovoGradSlots
from lrsched.rules._library.parts import L1, L2, ClipByGlobalNorm, ClipByNorm, ClipByValue, DecoupledWeightDecay
from lrsched.rules._library.reading import parse
from lrsched.rules._library.recipes import LAMB, LARS, AdamaxW, AdamW, AMSGrad, NAdamW, Nesterov, Signum, lamb, lars
from lrsched.rules._library.sgd import SGD, Lion, LionSlots, Momentum, MomentumSlots
from lrsched.rules._library.signs import Rprop, RpropSlots, SignSGD
from lrsched.rules._library.wrappers import DecayBefore, OwnRate, Split, SplitSlots
from lrsched.rules._ops.context import Context
from lrsched.rules._update.rows import Rows, RowTables, next_reduction
from lrsched.rules._update.run import Full, map_arrays

__all__ = [
    "AMSGrad",
    "AdaBelief",
    "AdaDelta",
    "AdaDeltaSlots",
    "AdaGrad",
    "AdaGradSlots",
    "Adafactor",
    "AdafactorSlots",
    "Adam",
    "AdamSlots",
    "AdamW",
    "Adamax",
    "AdamaxSlots",
    "AdamaxW",
    "Adan",
    "AdanSlots",
    "ClipByGlobalNorm",
    "ClipByNorm",
    "ClipByValue",
    "Context",
    "DecayBefore",
    "DecoupledWeightDecay",
    "Full",
    "L1",
    "L2",
    "LAMB",
    "LARS",
    "Layerwise",
    "Link",
    "Lion",
    "LionSlots",
    "Local",
    "Moments",
    "Momentum",
    "MomentumSlots",
    "Muon",
    "MuonSlots",
    "NAdam",
    "NAdamW",
    "Nesterov",
    "NovoGrad",
    "NovoGradSlots",
    "Ops",
    "OwnRate",
    "Part",
    "Parts",
    "Pipeline",
    "Prodigy",
    "ProdigySlots",
    "RAdam",
    "RMSprop",
    "RMSpropSlots",
    "RowTables",
    "Rows",
    "Rprop",
    "RpropSlots",
    "Rule",
    "SGD",
    "ScheduleFree",
    "ScheduleFreeSlots",
    "SignSGD",
    "Signum",
    "Split",
    "SplitSlots",
    "Yogi",
    "apply",
    "averages",
    "init",
    "lamb",
    "lars",
    "map_arrays",
    "next_reduction",
    "ops_of",
    "parse",
]

_publish(__name__)
