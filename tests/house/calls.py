"""Calls as users write them: type checkers complain about each line that ends with `# wrong`, and about no other.

Nothing calls this: `check_calls.py` beside it shows it to mypy and pyright.
"""

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import lrsched
from lrsched import Constant, Cosine, Schedule, Warmup, compat, feedback, forecast, rules


def calls() -> None:
    # Schedules
    cosine = Cosine(0.1, 0.0, steps=100)
    assert_type(Warmup(5) >> cosine, Schedule)
    assert_type(0.5 * cosine + cosine, Schedule)
    assert_type(cosine(3), float)
    assert_type(cosine(np.arange(3)), NDArray[np.float64])
    assert_type(cosine >> (lambda t: 0.1), Schedule)
    cosine >> 3  # wrong
    3 >> cosine  # wrong
    Cosine(0.1, 0.0)  # wrong
    Cosine(0.1, 0.0, steps="100")  # wrong
    Cosine(0.1, 0.0, step=100)  # wrong
    Constant(0.1, steps=None)
    cosine.steps = 3  # wrong
    print(cosine.stepz)  # wrong
    lrsched.Cosin(0.1, 0.0, steps=100)  # wrong
    lrsched.wsd(0.1, steps=100, warmup=10, cooldown=20)
    lrsched.wsd(0.1, steps=100)  # wrong
    assert_type(lrsched.parse("Constant(0.1)"), Schedule | lrsched.Template)
    assert_type(lrsched.parse("Constant(0.1)")(3), float)
    assert_type(lrsched.Template("Warmup(5%)").build(lrsched.Budget(steps=100)), Schedule)

    # Names that are loaded late
    assert_type(lrsched.equality(cosine, cosine, steps=5), lrsched.Equality)
    print(lrsched.equality(cosine, cosine, steps=5).equals)  # wrong
    assert_type(lrsched.to_source(cosine, "torch"), str)
    lrsched.to_source(cosine)  # wrong

    # Other libraries
    assert_type(compat.torch.StepLR(lr=0.1, step_size=10), Schedule)
    compat.torch.StepLR(lrr=1)  # wrong
    compat.torch.StepLR(lr="0.1", step_size=10)  # wrong
    compat.optax.nonsense(1)  # wrong
    compat.optacks.cosine_decay_schedule(1.0, 10)  # wrong
    compat.optax.cosine_decay_schedule(1.0, 10)
    compat.keras.CosineDecay(0.1, decay_steps=100)
    assert_type(compat.torch.Adam(), rules.Rule)
    print(compat.remarks("torch", "StepLR", lr=0.1, step_size=10)[0].code)
    print(compat.remarks("torch", "StepLR", lr=0.1, step_size=10)[0].kode)  # wrong

    # Rules, feedback, laws
    weights = np.zeros(3)
    rule = rules.ClipByGlobalNorm(1.0) >> rules.Adam(b1=0.9)
    rules.apply(rule, weights, weights, rules.init(rule, weights), lr=cosine(0), step=0)
    rules.Adam(beta1=0.9)  # wrong
    rules.Adamm()  # wrong
    plateau = feedback.Plateau(patience=3)
    plateau.update(plateau.init(), 1.0)
    feedback.Plateau(patience="3")  # wrong
    forecast.ReturnModel(1000)  # wrong
