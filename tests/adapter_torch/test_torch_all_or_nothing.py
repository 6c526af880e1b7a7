"""A step over several rules does all of them or, where one group is spoiled, nothing; the next one goes on."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lrsched import Linear, rules
from lrsched_torch import RuleOptimizer

RULES = [
    rules.SGD(), rules.Momentum(), rules.Adam(), rules.AdamW(), rules.lamb(), rules.lars(), rules.Lion(),
    rules.RMSprop(), rules.ClipByGlobalNorm(1.0) >> rules.Adam(), rules.Adafactor(), rules.Muon(), rules.RAdam(),
]  # fmt: skip
SHAPES = [(3,), (4, 2), (), (5, 6), (70,), (2, 3, 2)]
MATRICES = [(4, 2), (5, 6), (2, 3)]
RATES = [0.1, Linear(0.1, 0.0, steps=50)]


def built(seed: int, flat: bool) -> RuleOptimizer:
    draw = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)

    def group(rule: rules.Rule) -> dict[str, Any]:
        shapes = draw.choices(MATRICES if rule == rules.Muon() else SHAPES, k=draw.choice([1, 2, 5]))
        return {"params": [torch.nn.Parameter(torch.randn(x, generator=generator)) for x in shapes], "rule": rule}

    own = draw.sample([rule for rule in RULES if rule.packs or not flat], draw.choice([2, 3, 4]))
    return RuleOptimizer([group(rule) for rule in own], rules.SGD(), draw.choice(RATES), flat=flat, compile=False)


def set_gradients(optimizer: RuleOptimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in (p for group in optimizer.param_groups for p in group["params"]):
        p.grad = torch.randn(p.shape, generator=generator)


def kept(x: Any) -> Any:
    """Return a copy to compare: a tensor as its bytes."""
    if isinstance(x, torch.Tensor):
        return x.detach().clone().reshape(-1).view(torch.uint8).tolist() if x.layout is torch.strided else None
    if isinstance(x, dict):
        return {name: kept(content) for name, content in x.items()}
    return [kept(content) for content in x] if isinstance(x, list) else repr(x)


def contents(optimizer: RuleOptimizer) -> list[Any]:
    groups = optimizer.param_groups
    ps = [p for group in groups for p in group["params"]]
    counts = [[group["updates"], group["lr"]] for group in groups]
    return kept([ps, [optimizer.state.get(p) for p in ps], [p in optimizer.state for p in ps], counts])


def set_data(x: torch.Tensor, data: torch.Tensor) -> None:
    x.data = data


def changed(table: Any, name: Any, content: Any) -> Callable[[], None]:
    """Put something else into a dictionary, or take an entry out of it, and return what mends that."""
    before = dict(table)
    if content is None:
        del table[name]
    else:
        table[name] = content

    def mend() -> None:
        table.clear()
        table.update(before)

    return mend


def spoiled(optimizer: RuleOptimizer, draw: random.Random, how: str) -> Callable[[], object] | None:
    """Spoil one parameter or its group; return what mends it, or None if it cannot be spoiled so."""
    group = draw.choice(optimizer.param_groups)
    p = draw.choice(group["params"])
    state = optimizer.state.get(p)
    if how == "sparse gradient":
        if not p.dim():
            return None
        p.grad = torch.zeros(p.shape).to_sparse()
        return lambda: setattr(p, "grad", None)
    if how == "gradient of another shape":
        p.grad.data = torch.zeros(9, 2)
        return lambda: setattr(p, "grad", None)
    if how == "parameter of another shape":
        old = p.data
        set_data(p, torch.zeros(7, 7))
        return lambda: set_data(p, old)
    if how == "rate":
        return changed(group, "lr", draw.choice(["x", [0.1]]))
    if how == "updates":
        return changed(group, "updates", draw.choice([-3, "x", float("nan")]))
    if not state:
        return None
    if how == "count":
        return changed(state, "step", draw.choice([-4, "x", float("nan"), None]))
    if how == "entry":
        optimizer.state[p] = [1]
        return lambda: optimizer.state.__setitem__(p, state)
    wrong = [torch.zeros(3, 1, 2), "x", torch.zeros(p.shape, dtype=torch.int64), None]
    names = [name for name in state if name != "step"]
    return changed(state, draw.choice(names), draw.choice(wrong)) if names else None


WAYS = [
    "sparse gradient", "gradient of another shape", "parameter of another shape", "rate", "updates", "count", "entry",
    "slot",
]  # fmt: skip


def check(seed: int, flat: bool, how: str) -> bool:
    """Return whether a step was refused; then it has changed nothing, and the next is that of a twin."""
    one, twin = built(seed, flat), built(seed, flat)
    draw = random.Random(seed)
    for t in range(draw.choice([0, 1, 2])):
        for optimizer in (one, twin):
            set_gradients(optimizer, t)
            optimizer.step()
    set_gradients(one, 99)
    mend = spoiled(one, draw, how)
    if mend is None:
        return False
    before = contents(one)
    try:
        one.step()
    except (TypeError, ValueError) as error:
        message = str(error)
    else:
        return False
    assert "RuleOptimizer" in message
    assert contents(one) == before
    mend()
    for optimizer in (one, twin):
        set_gradients(optimizer, 100)
        optimizer.step()
    assert contents(one) == contents(twin)
    return True


@pytest.mark.parametrize("how", WAYS)
def test_a_step_that_is_refused_changes_nothing_and_the_next_goes_on(how):
    assert sum([check(seed, bool(seed % 2), how) for seed in range(10)]) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("how", WAYS)
def test_many_steps_that_are_refused_change_nothing(how):
    assert sum([check(seed, bool(seed % 2), how) for seed in range(100, 350)]) >= 50


def test_a_rule_that_refuses_a_shape_does_so_before_the_others_begin():
    w, b = (torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 2), (3,)))
    optimizer = RuleOptimizer([{"params": [w]}, {"params": [b], "rule": rules.Muon()}], rules.SGD(), 0.5)
    w.grad, b.grad = torch.ones(2, 2), torch.ones(3)
    with pytest.raises(ValueError, match="Muon must get matrices"):
        optimizer.step()
    assert w.unique().tolist() == [1.0]
    assert not optimizer.state


def test_steps_of_several_compiled_rules_look_at_all_of_them_first():
    ps = [torch.nn.Parameter(torch.ones(4)) for _ in range(2)]
    optimizer = RuleOptimizer(
        [{"params": ps[:1]}, {"params": ps[1:], "rule": rules.Lion()}], rules.RMSprop(), 0.5, compile=True
    )
    for _ in range(3):
        for p in ps:
            p.grad = torch.ones(4)
        optimizer.step()
    before = contents(optimizer)
    ps[1].grad = torch.ones(4).to_sparse()
    with pytest.raises(TypeError, match="dense gradients"):
        optimizer.step()
    assert contents(optimizer) == before
