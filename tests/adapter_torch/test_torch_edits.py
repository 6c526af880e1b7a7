"""What others do to `state` and `param_groups` between two steps: each form goes on as one that hides nothing."""

import copy
import pickle
import random
from collections import defaultdict

import pytest
import torch

from lrsched import Exponential, Linear, rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._loops import build as _build
from lrsched_torch._shared.captured import Captured

RATES = (Linear(0.1, 0.0, steps=20), Exponential(0.05, 0.9), 0.02)
SHAPES = ((3, 2), (2, 3), (), (4,), (2, 2), (1,))
FORMS = {
    "eager": {},
    "flat": {"flat": True},
    "compiled": {"compile": True},
    "compiled flat": {"compile": True, "flat": True},
}
NEEDS_COMPILER = pytest.mark.skipif(_build.compiler() is None, reason="there is no C++ compiler")
RULES = {
    "Adam": rules.Adam(),
    "momentum": rules.Momentum(0.5),
    "SGD": rules.SGD(),
    "NAdam": rules.NAdam(),
    "clipped LAMB": rules.ClipByGlobalNorm(1.0) >> rules.LAMB(),
    "Muon": rules.Split(rules.Muon(), rules.Adam()),
    "ScheduleFree": rules.ScheduleFree(rules.Adam(b1=0.0)),
}
CASES = [
    pytest.param(form, rule, marks=NEEDS_COMPILER if "compiled" in form else (), id=f"{form}, {rule}")
    for form in FORMS
    for rule in RULES
    if not (("flat" in form or "compiled" in form) and rule == "Muon")
]


class Plain:
    """An optimizer that reads its groups and its state at each step, by the pure rule."""

    def __init__(self, groups, rule):
        self.rule, self.state, self.param_groups, self.updates = rule, defaultdict(dict), [], 0
        self._schedules = {}
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group):
        self.param_groups.append(group)
        self._take(group)

    def _take(self, group):
        self._schedules[id(group)] = group, group["lr"]

    @torch.no_grad()
    def step(self):
        found = []
        for group in self.param_groups:
            if id(group) not in self._schedules:
                self._take(group)
            rate = self._schedules[id(group)][1]
            found += [
                (p, rate(self.updates) if callable(rate) else rate) for p in group["params"] if p.grad is not None
            ]
        self.updates += 1
        if not found:
            return
        for p, _ in found:
            if not self.state[p]:
                self.state[p].update({"step": 0, **named(self.rule.init(p))})
        slots = [filled(self.rule.init(p), self.state[p]) for p, _ in found]
        ps, kept = rules.apply(
            self.rule,
            [p.detach() for p, _ in found],
            [p.grad for p, _ in found],
            slots,
            lr=[rate for _, rate in found],
            step=[self.state[p]["step"] for p, _ in found],
        )
        for (p, _), moved, content in zip(found, ps, kept, strict=True):
            p.copy_(moved)
            self.state[p].update({"step": self.state[p]["step"] + 1, **named(content)})


def named(slots, prefix=""):
    found = {}
    for name, x in zip(getattr(slots, "_fields", ()), slots, strict=True):
        if isinstance(x, tuple):
            found |= named(x, f"{prefix}{name}.")
        elif x is not None:
            found[f"{prefix}{name}"] = x.clone()
    return found


def filled(slots, entry):
    rest = iter([entry[name] for name in named(slots)])
    return rules.map_arrays(lambda _: next(rest), slots)


# Edits of the state, each given the optimizer, a parameter and another one.
def cleared(o, p, q):
    o.state.clear()


def deleted(o, p, q):
    o.state.pop(p, None)


def emptied(o, p, q):
    o.state[p] = {}


def emptied_in_place(o, p, q):
    o.state[p].clear()


def replaced(o, p, q):
    o.state[p] = {k: x.clone() if isinstance(x, torch.Tensor) else x for k, x in o.state[p].items()}


def replaced_by_others(o, p, q):
    entry = {
        k: 0.5 * x if isinstance(x, torch.Tensor) else x + 2 if isinstance(x, int) else x for k, x in o.state[p].items()
    }
    o.state[p] = dict(reversed(entry.items()))


def copied_shallow(o, p, q):
    o.state[p] = dict(o.state[p])


def slot(o, p, q):
    for k, x in o.state[p].items():
        if isinstance(x, torch.Tensor):
            o.state[p][k] = 0.25 * x


def turned_slot(o, p, q):
    for k, x in o.state[p].items():
        if isinstance(x, torch.Tensor) and x.shape == (2, 2):
            o.state[p][k] = x.t()


def slot_in_place(o, p, q):
    for x in o.state[p].values():
        if isinstance(x, torch.Tensor):
            x.mul_(0.5)


def slot_data(o, p, q):
    for x in o.state[p].values():
        if isinstance(x, torch.Tensor):
            x.data = 0.75 * x.data


def counted(o, p, q):
    if o.state[p]:
        o.state[p]["step"] = 4000


def counted_by_a_tensor(o, p, q):
    # As torch counts; ours goes on as a number.
    if o.state[p]:
        o.state[p]["step"] = torch.tensor(7.0) if isinstance(o, RuleOptimizer) else 7


def updated(o, p, q):
    o.state.update({p: {}})


def defaulted(o, p, q):
    o.state.pop(p, None)
    o.state.setdefault(p, {})


def new_state(o, p, q):
    o.state = defaultdict(dict)


def reordered(o, p, q):
    o.state = dict(reversed(o.state.items()))
    o.state = defaultdict(dict, o.state) if isinstance(o, Plain) else o.state


def moved_to_another(o, p, q):
    if p.shape == q.shape and p in o.state:
        o.state[q] = o.state.pop(p)


def noted(o, p, q):
    if o.state[p]:
        o.state[p]["note"] = "mine"


STATE = (
    cleared, deleted, emptied, emptied_in_place, replaced, replaced_by_others, copied_shallow, slot, turned_slot,
    slot_in_place, slot_data, counted, counted_by_a_tensor, updated, defaulted, new_state, reordered,
    moved_to_another, noted,
)  # fmt: skip


# Edits of the groups.
def popped(o, p, q):
    if len(o.param_groups) > 1:
        o.param_groups.pop(0)


def rotated(o, p, q):
    o.param_groups.append(o.param_groups.pop(0))


def reversed_(o, p, q):
    o.param_groups.reverse()


def taken_out_for_a_step(o, p, q):
    group = o.param_groups.pop()
    o.step()
    o.param_groups.insert(0, group)


def each_taken_out_for_a_step(o, p, q):
    for _ in o.param_groups:
        taken_out_for_a_step(o, p, q)


def appended(o, p, q):
    o.param_groups.append({"params": [fresh(o)], "lr": 0.03})


def appended_with_a_schedule(o, p, q):
    o.param_groups.append({"params": [fresh(o)], "lr": Linear(0.2, 0.1, steps=5)})


def appended_like_another(o, p, q):
    rest = {k: x for k, x in o.param_groups[0].items() if k not in ("lr", "params")}
    o.param_groups.append({**rest, "params": [fresh(o)], "lr": 0.04})


def inserted(o, p, q):
    o.param_groups.insert(0, {"params": [fresh(o)], "lr": 0.05})


def added(o, p, q):
    o.add_param_group({"params": [fresh(o)], "lr": Exponential(0.1, 0.5)})


def parameters_replaced(o, p, q):
    o.param_groups[0]["params"] = [fresh(o)]


def listed(group):
    if not isinstance(group["params"], list):
        group["params"] = list(group["params"])
    return group["params"]


def parameter_replaced(o, p, q):
    listed(o.param_groups[0])[0] = fresh(o)


def parameter_appended(o, p, q):
    listed(o.param_groups[-1]).append(fresh(o))


def parameter_removed(o, p, q):
    o.param_groups[-1]["params"] = o.param_groups[-1]["params"][1:]


def as_a_tuple(o, p, q):
    o.param_groups[0]["params"] = tuple(o.param_groups[0]["params"])


def in_another_list(o, p, q):
    o.param_groups = list(o.param_groups)


def noted_in_a_group(o, p, q):
    o.param_groups[0]["note"] = 1


def without_a_gradient(o, p, q):
    p.grad = None


GROUPS = (
    popped, rotated, reversed_, taken_out_for_a_step, each_taken_out_for_a_step,
    appended, appended_with_a_schedule, appended_like_another,
    inserted, added, parameters_replaced, parameter_replaced, parameter_appended, parameter_removed, as_a_tuple,
    in_another_list, noted_in_a_group, without_a_gradient,
)  # fmt: skip


# Edits of the parameters themselves.
def parameter_moved(o, p, q):
    p.data = p.data.clone() * 0.5


def parameter_turned(o, p, q):
    if p.dim() == 2:
        p.data = p.data.t().contiguous().t()


MEMORY = (parameter_moved, parameter_turned)


def fresh(o):
    """Return a new parameter, which has a gradient."""
    o.made = getattr(o, "made", 0) + 1
    p = torch.nn.Parameter(torch.full((2,), float(o.made), dtype=torch.float64))
    p.grad = torch.full_like(p, 0.5)
    return p


def parameters():
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in SHAPES]


def both(rule, form):
    """Return an optimizer and the plain one, with three groups each."""
    made = []
    for make in (lambda groups: RuleOptimizer(groups, rule, lr=0.1, **FORMS[form]), lambda groups: Plain(groups, rule)):
        ps = parameters()
        made.append(make([{"params": ps[2 * i : 2 * i + 2], "lr": lr} for i, lr in enumerate(RATES)]))
    return made


def set_gradients(o, t):
    generator = torch.Generator().manual_seed(t)
    for group in o.param_groups:
        for p in group["params"]:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64)


def of(o, i):
    ps = [p for group in o.param_groups for p in group["params"]]
    return ps[i % len(ps)]


def held(o):
    """Return all that an optimizer holds, in the order of its parameters."""
    found = []
    for group in o.param_groups:
        for p in group["params"]:
            entry = o.state.get(p) or {}
            found.append((p.detach(), {k: x for k, x in sorted(entry.items()) if k != "note"}))
    return found


def train(edits, form, rule):
    one, other = both(RULES[rule], form)
    for t, edit in enumerate([*edits, None]):
        for o in (one, other):
            set_gradients(o, t)
            o.step()
        for o in (one, other):
            if edit is not None:
                what, i, j = edit
                what(o, of(o, i), of(o, j))
    for t in range(100, 103):
        for o in (one, other):
            set_gradients(o, t)
            o.step()
        torch.testing.assert_close(held(one), held(other), rtol=1e-9, atol=1e-10)
    kept = {i: entry for i, entry in one.state_dict()["state"].items() if entry}
    saved = [entry for _, entry in held(one) if entry]
    assert len(kept) == len(saved)
    rate = [group["lr"] for group in one.param_groups]
    schedules = [other._schedules[id(group)][1] for group in other.param_groups]
    assert rate == [s(other.updates) if callable(s) else s for s in schedules]


def allowed(edit, form):
    return not ("flat" in form and edit is parameter_turned)


@pytest.mark.parametrize(("form", "rule"), [case for case in CASES if case.values[1] == "Adam"])
def test_each_edit_counts_from_the_next_step(form, rule):
    for edit in (*STATE, *GROUPS, *MEMORY):
        if allowed(edit, form):
            train([(edit, 4, 1)], form, rule)


def random_edits(seed, form, count):
    draw = random.Random(seed)
    edits = [edit for edit in (*STATE, *GROUPS, *MEMORY, None) if allowed(edit, form)]
    found = [draw.choice(edits) for _ in range(count)]
    return [edit and (edit, draw.randrange(9), draw.randrange(9)) for edit in found]


@pytest.mark.parametrize(("form", "rule"), CASES)
def test_edits_after_edits_count_too(form, rule):
    for seed in range(2):
        train(random_edits(seed, form, 8), form, rule)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "rule"), CASES)
def test_many_edits_after_edits_count_too(form, rule):
    for seed in range(100, 300):
        train(random_edits(seed, form, 8), form, rule)


def put(**entries):
    return lambda o, p: o.state[p].update(entries)


def into(group):
    return lambda o, p: o.param_groups.append(group)


def changed(**entries):
    return lambda o, p: o.param_groups[1].update(entries)


NOT_COUNTS = (-1, None, "x", 1.5, float("nan"), True, 10**400, torch.tensor([1.0, 2.0]), torch.tensor(-1.0), [3])
WRONG = {
    **{f"an entry {x!r}": lambda o, p, x=x: o.state.update({p: x}) for x in (None, [1], "x", 3, {"step": 3})},
    **{f"no {name}": lambda o, p, name=name: o.state[p].pop(name) for name in ("step", "m")},
    **{f"step {str(x)[:20]}": put(step=x) for x in NOT_COUNTS},
    **{
        f"m {x!r}": put(m=x)
        for x in (
            None, "x", 0.0, [0.0] * 3, torch.zeros(5), torch.zeros(()), torch.zeros(3, dtype=torch.int64),
            torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.complex64), torch.zeros(3).to_sparse(),
        )
    },
    **{f"state {x!r}": lambda o, p, x=x: setattr(o, "state", x) for x in (None, [], 3)},
    **{f"groups {x!r}": lambda o, p, x=x: setattr(o, "param_groups", x) for x in (None, 3, {})},
    **{f"group {x!r}": into(x) for x in (None, 3, "x", [], {}, {"params": None}, {"params": [3]}, {"params": "x"})},
    **{f"rate {x!r} beside": into({"params": [torch.ones(2)], "lr": x}) for x in (None, "x", -1.0, float("nan"))},
    **{f"rule {x!r}": into({"params": [torch.ones(2)], "rule": x}) for x in ("Adam", 3)},
    "integers": into({"params": [torch.ones(2, dtype=torch.int64)]}),
    "a parameter twice": lambda o, p: o.param_groups.append({"params": [p]}),
    "a group twice": lambda o, p: o.param_groups.append(o.param_groups[0]),
    **{f"lr {x!r}": changed(lr=x) for x in (None, "x", True, [0.1], torch.ones(2), 1j)},
    **{f"updates {str(x)[:20]}": changed(updates=x) for x in NOT_COUNTS[:7]},
    **{f"params {x!r}": changed(params=x) for x in (None, [3], 3)},
    "no params": lambda o, p: o.param_groups[1].pop("params"),
    "a longer parameter": lambda o, p: setattr(p, "data", torch.ones(70_000)),
    "a shorter parameter": lambda o, p: setattr(p, "data", torch.ones(2)),
}  # fmt: skip


@pytest.mark.parametrize("form", [pytest.param(x, marks=NEEDS_COMPILER if "compiled" in x else ()) for x in FORMS])
def test_what_no_step_can_use_is_refused_before_anything_moves(form):
    for name, edit in WRONG.items():
        ps = [torch.nn.Parameter(torch.ones(n)) for n in (3, 4, 3)]
        groups = [{"params": ps[:2]}, {"params": ps[2:], "lr": RATES[0]}]
        o = RuleOptimizer(groups, rules.Adam(), lr=0.1, **FORMS[form])
        for _ in range(2):
            for p in ps:
                p.grad = torch.ones_like(p)
            o.step()
        edit(o, ps[0])
        before = [p.detach().clone() for p in ps]
        with pytest.raises((TypeError, ValueError), match=r"^RuleOptimizer.* must .*, got ") as caught:
            o.step()
        assert all(map(torch.equal, ps, before)), (name, caught.value)


@pytest.mark.parametrize("form", [pytest.param(x, marks=NEEDS_COMPILER if "compiled" in x else ()) for x in FORMS])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_parameters_of_another_precision_go_on_with_their_moments(form, dtype):
    ps = [torch.nn.Parameter(torch.ones(n)) for n in (3, 5000)]
    o = RuleOptimizer(ps, rules.Adam(), lr=0.25, **FORMS[form])
    for t in range(4):
        for p in ps:
            if t == 2:
                p.data, p.grad, p.grad_dtype = p.data.to(dtype), None, None
            p.grad = torch.ones_like(p)
        if t == 2 and "flat" in form:
            with pytest.raises(ValueError, match="must keep the shape, dtype and device of each parameter"):
                o.step()
            return
        o.step()
    # Equal gradients: each step is the learning rate.
    for p in ps:
        torch.testing.assert_close(p.detach(), torch.zeros_like(p), atol=1e-2, rtol=0.0)
        assert o.state[p]["step"] == 4
        assert p.dtype == dtype


@pytest.mark.parametrize("form", [pytest.param(x, marks=NEEDS_COMPILER if "compiled" in x else ()) for x in FORMS])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["copy", "pickle"])
def test_a_copy_has_the_edits(form, duplicate):
    one, _ = both(rules.Adam(), form)
    set_gradients(one, 0)
    one.step()
    one.param_groups.append({"params": [fresh(one)]})
    one.param_groups.reverse()
    one.state.pop(of(one, 1))
    other = duplicate(one)
    for t in range(1, 4):
        for o in (one, other):
            set_gradients(o, t)
            o.step()
    torch.testing.assert_close(held(one), held(other), rtol=0.0, atol=0.0)
    assert [g["lr"] for g in one.param_groups] == [g["lr"] for g in other.param_groups]


def test_a_group_put_before_others_takes_no_rate_of_theirs_on_the_device():
    captured = Captured()
    groups = [{"params": [], "lr": 0.5, "updates": 3}]
    captured.adopt(groups)
    old = groups[0]["lr"]
    groups.insert(0, {"params": [], "lr": 0.25, "updates": 3})
    captured.adopt(groups)
    assert [float(group["lr"]) for group in groups] == [0.25, 0.5]
    assert groups[1]["lr"] is old


@pytest.mark.parametrize("rule", ["Adam", "clipped LAMB", "ScheduleFree", "SGD"])
@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=NEEDS_COMPILER if "compiled" in form else ()) for form in FORMS]
)
def test_a_model_may_change_its_memory_format(form, rule):
    found = []
    for formats in ({}, {2: torch.channels_last, 4: torch.contiguous_format}):
        torch.manual_seed(0)
        # A small weight that joins late is alone in its bucket, and a large one always is.
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Conv2d(64, 32, 9, bias=False)).double()
        late = model[0].weight
        optimizer = RuleOptimizer(model.parameters(), RULES[rule], lr=0.1, **FORMS[form])
        for t in range(6):
            model.to(memory_format=formats.get(t, torch.preserve_format))
            for p in model.parameters():
                p.grad = torch.randn(p.shape, dtype=torch.float64)
            late.grad = late.grad if t else None
            optimizer.step()
        found.append([p.detach().contiguous() for p in model.parameters()])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-10)


def test_the_comparison_sees_a_hidden_moment():
    with pytest.raises(AssertionError):
        train([(lambda o, p, q: o.state.clear() if isinstance(o, RuleOptimizer) else None, 0, 0)], "eager", "Adam")
