"""One rule, four array libraries: the same updates."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from test_rules_core import any_rule, tensors

from lrsched import rules

jax = pytest.importorskip("jax")
tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")


def run(rule: rules.Rule, convert: Any, number: Any) -> list[np.ndarray]:
    params = [convert(p) for p in tensors(0)]
    slots = rules.init(rule, params)
    for t in range(2):
        grads = [convert(g) for g in tensors(1 + t)]
        params, slots = rules.apply(rule, params, grads, slots, lr=number(0.125 / (t + 1)), step=number(t))
    return [np.asarray(p) for p in params]


LIBRARIES = {
    "torch": (torch.tensor, torch.tensor),
    "tensorflow": (tf.constant, tf.constant),
    "jax": (jax.numpy.asarray, jax.numpy.asarray),
}


@pytest.mark.parametrize("library", LIBRARIES)
@settings(max_examples=25)
@given(rule=any_rule)
def test_every_library_gives_what_numpy_gives(library: str, rule: rules.Rule):
    convert, number = LIBRARIES[library]
    expected = run(rule, lambda x: x, lambda x: x)
    with jax.enable_x64(True):
        found = run(rule, convert, number)
    for p, q in zip(found, expected, strict=True):
        assert p.dtype == np.float64
        np.testing.assert_allclose(p, q, rtol=1e-8, atol=1e-8)
