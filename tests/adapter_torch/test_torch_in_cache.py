"""Without a compiler on a CPU a rule is replayed by calls that write into the cache: equal updates, little memory."""

import io
import random
from typing import Any, NamedTuple

import pytest
import torch
from rule_samples import SAMPLES

from lrsched import rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._joined import in_cache as _in_cache
from lrsched_torch._joined.in_cache import InCache, program_for
from lrsched_torch._joined.script import early_stores, script_of

SHAPES = ((3, 4), (5,), (), (4, 3), (0, 2), (5,), (40, 50), (2, 3, 2, 2), (130, 140))


class Pair(NamedTuple):
    a: Any
    b: Any


class Exchanging(rules.Rule):
    """Exchanges its slots at each update."""

    def slots(self, full):
        return Pair(full(0.0), full(1.0))

    def body(self, context, ps, gs, slots):
        return [context.at(i).lr * g for i, g in enumerate(gs)], [Pair(s.b, s.a) for s in slots]


class Remembering(rules.Rule):
    """Keeps what parameter and gradient were, and what the first slot was."""

    def slots(self, full):
        return Pair(full(0.0), full(0.0))

    def body(self, context, ps, gs, slots):
        us = [context.at(i).lr * (g + s.b) for i, (g, s) in enumerate(zip(gs, slots, strict=True))]
        return us, [Pair(p, s.a) for p, s in zip(ps, slots, strict=True)]


class Branching(rules.Rule):
    """Looks at what an array holds, which no program can say."""

    def slots(self, full):
        return ()

    def body(self, context, ps, gs, slots):
        return [context.lr * g if bool((g.sum() > 0.0).all()) else -g for g in gs], slots


RULES = {
    **{type(sample.rule).__name__: sample.rule for sample in SAMPLES if sample.rule.packs},
    "RMSprop": rules.RMSprop(),
    "LAMB": rules.lamb(weight_decay=0.01),
    "LARS": rules.lars(),
    "clipped Lion": rules.ClipByGlobalNorm(0.3) >> rules.Lion(),
    "clipped Adam": rules.ClipByGlobalNorm(0.3) >> rules.Adam() >> rules.DecoupledWeightDecay(0.1),
    "RMSprop of clipped": rules.ClipByNorm(0.5) >> rules.L2(0.1) >> rules.RMSprop(),
    "exchanging": Exchanging(),
    "remembering": Remembering(),
}


def life(rule, seed):
    """Train some parameters with the optimizer and with `rules.apply`, and return both, with all slots."""
    r = random.Random(seed)
    torch.manual_seed(seed)
    starts = [torch.randn(r.choice(SHAPES), dtype=torch.float64) for _ in range(r.randint(1, 9))]
    ps = [torch.nn.Parameter(p.t() if p.dim() == 2 and r.random() < 0.3 else p) for p in starts]
    owners = sorted(r.randrange(3) for _ in ps)
    rates, ups = [0.01, 0.02, 0.02], [False, r.random() < 0.3, False]
    groups = [
        {"params": own, "lr": rates[i], "maximize": ups[i]}
        for i in range(3)
        if (own := [p for p, owner in zip(ps, owners, strict=True) if owner == i])
    ]
    optimizer = RuleOptimizer(groups, rule, lr=0.0, compile=False)
    others, slots, counts = [p.detach().clone() for p in ps], [rule.init(p.detach()) for p in ps], [0] * len(ps)
    missing = r.choice((0.0, 0.5))
    for _ in range(5):
        for p in ps:
            p.grad = None if r.random() < missing else torch.randn(p.shape, dtype=torch.float64)
        own = [i for i, p in enumerate(ps) if p.grad is not None]
        optimizer.step()
        if own:
            gs = [-ps[i].grad if ups[owners[i]] else ps[i].grad for i in own]
            news, kept = rules.apply(
                rule, [others[i] for i in own], gs, [slots[i] for i in own],
                lr=[rates[owners[i]] for i in own], step=[counts[i] for i in own],
            )  # fmt: skip
            for i, new, slot in zip(own, news, kept, strict=True):
                others[i], slots[i], counts[i] = new, slot, counts[i] + 1
    return optimizer, ps, others, [(i, s) for i, s in enumerate(slots) if counts[i]], counts


def agree(rule, seed):
    optimizer, ps, others, slots, counts = life(rule, seed)
    for p, other in zip(ps, others, strict=True):
        torch.testing.assert_close(p.detach(), other, rtol=1e-9, atol=1e-11)
    for i, slot in slots:
        state = dict(optimizer.state[ps[i]])
        assert state.pop("step") == counts[i]
        found = [x for x in state.values() if isinstance(x, torch.Tensor)]
        for x, wanted in zip(found, list(_arrays(slot)), strict=True):
            torch.testing.assert_close(x, wanted, rtol=1e-9, atol=1e-11)


def _arrays(slots):
    for x in slots:
        yield from _arrays(x) if isinstance(x, tuple) else () if x is None else (x,)


@pytest.mark.parametrize("name", RULES)
def test_lives_with_groups_and_missing_gradients_are_those_of_the_plain_function(name):
    for seed in range(3):
        agree(RULES[name], seed)


def test_slots_that_are_gathered_are_not_written_between_two_totals():
    agree(RULES["Prodigy"], 9)  # some gradients are missing


@pytest.mark.parametrize("master", [False, True])
@pytest.mark.parametrize("name", ["Adam", "clipped Adam"])
def test_bfloat16_parameters_move_as_their_float32_copies_do(name, master):
    torch.manual_seed(0)
    ps, copies = [], []
    for shape in ((300, 301), (20, 20), (7,)):
        ps.append(torch.nn.Parameter(torch.randn(shape).to(torch.bfloat16)))
        copies.append(torch.nn.Parameter(ps[-1].detach().float()))
    narrow = RuleOptimizer(ps, RULES[name], lr=0.01, compile=False, master=master)
    wide = RuleOptimizer(copies, RULES[name], lr=0.01, compile=False)
    for _ in range(3):
        for p, copy in zip(ps, copies, strict=True):
            p.grad = torch.randn(p.shape).to(torch.bfloat16)
            copy.grad = p.grad.float()
            if not master:
                copy.data.copy_(p.detach())
        narrow.step(), wide.step()
    for p, copy in zip(ps, copies, strict=True):
        torch.testing.assert_close(p.detach(), copy.detach().to(torch.bfloat16), rtol=0.0, atol=0.0)
        torch.testing.assert_close(narrow.state[p]["m"], wide.state[copy]["m"])


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_many_lives_are_those_of_the_plain_function(name):
    for seed in range(100, 200):
        agree(RULES[name], seed)


def test_a_rule_that_branches_on_arrays_is_left_to_the_plain_body():
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    optimizer = RuleOptimizer([p], Branching(), lr=0.5, compile=False)
    optimizer.step()
    assert not isinstance(optimizer._jobs[0].executor, InCache)
    assert p.tolist() == [0.5, 0.5]


def small(rule, count=300):
    ps = [torch.nn.Parameter(torch.full((10,), 1.0 + i)) for i in range(count)]
    for p in ps:
        p.grad = torch.ones(10)
    return ps, RuleOptimizer(ps, rule, lr=0.01, compile=False)


def test_norm_rules_keep_and_save_slots_without_padding():
    ps, optimizer = small(rules.lamb())
    optimizer.step()
    storages = {x.untyped_storage() for state in optimizer.state.values() for x in state.values() if torch.is_tensor(x)}
    needed = 2 * 4 * 10 * len(ps)
    assert sum({x.data_ptr(): x.nbytes() for x in storages}.values()) == needed
    file = io.BytesIO()
    torch.save(optimizer.state_dict()["state"], file)
    assert len(file.getvalue()) < needed + 400 * len(ps)  # and a description of each


def test_gradients_missing_at_random_plan_nothing_anew(monkeypatch):
    ps, optimizer = small(rules.lamb(), count=40)
    optimizer.step()
    plans = []
    monkeypatch.setattr(InCache, "_plan", lambda *_: plans.append(1))
    r = random.Random(0)
    for _ in range(30):
        for p in ps:
            p.grad = torch.ones(10) if r.random() < 0.5 else None
        optimizer.step()
    assert not plans
    assert len({state["step"] for state in optimizer.state.values()}) > 5


def test_a_parameter_that_is_new_is_planned_for(monkeypatch):
    ps, optimizer = small(rules.lamb(), count=4)
    ps[0].grad = None
    optimizer.step()
    ps[0].grad = torch.ones(10)
    monkeypatch.setattr(InCache, "_plan", lambda *_: pytest.fail("planned"))
    with pytest.raises(pytest.fail.Exception, match="planned"):
        optimizer.step()


def test_a_large_tensor_is_taken_block_by_block(monkeypatch):
    found = []
    for block in (2**15, 50):
        monkeypatch.setattr(_in_cache, "BLOCK", block)
        torch.manual_seed(0)
        p = torch.nn.Parameter(torch.randn(150, 120, dtype=torch.float64))
        p.grad = torch.randn(150, 120, dtype=torch.float64)
        optimizer = RuleOptimizer([p], rules.lamb(), lr=0.1, compile=False)
        for _ in range(2):
            optimizer.step()
        found.append(p.detach())
    torch.testing.assert_close(*found, rtol=1e-12, atol=0.0)


def test_a_pass_is_as_few_calls_as_torch_makes():
    program = program_for(rules.RMSprop(), torch.float32, maximize=False)
    lines = script_of(program, 0, frozenset(), (), early=True).text.splitlines()
    assert [line.strip().partition("(")[0] for line in lines[1:-1]] == ["mul", "addcmul", "sqrt", "add", "addcdiv"]


def test_a_quotient_by_a_number_is_part_of_a_sum():
    program = program_for(rules.Prodigy(), torch.float32, maximize=False)
    lines = script_of(program, 1, frozenset(), (), early=True).text.splitlines()
    assert [line.strip().partition("(")[0] for line in lines[1:-1]] == ["mul", "add", "abs", "s0 = b0.sum"]


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_sign_keeps_what_is_not_a_number_and_the_rest(odd):
    p = torch.nn.Parameter(torch.zeros(6))
    p.grad = torch.tensor([2.0, -3.0, 0.0, odd, -odd, 1e-30])
    RuleOptimizer([p], rules.Lion(), lr=1.0, compile=False).step()
    wanted, _ = rules.apply(rules.Lion(), [torch.zeros(6)], [p.grad], [rules.Lion().init(p.detach())], lr=1.0, step=0)
    torch.testing.assert_close(p.detach(), wanted[0], equal_nan=True)


def test_what_the_norms_of_lamb_need_is_not_computed_twice():
    program = program_for(rules.lamb(), torch.float32, maximize=False)
    assert [target for target, _ in early_stores(program)] == ["slot0", "slot1", "kept"]
    assert len(script_of(program, 1, frozenset(), (("ge_24", True),), early=True).text.splitlines()) == 3


def test_a_slot_that_the_last_pass_reads_is_not_written_before():
    program = program_for(rules.lars(lr_in_buffer=False), torch.float32, maximize=False)
    assert early_stores(program) == ()
