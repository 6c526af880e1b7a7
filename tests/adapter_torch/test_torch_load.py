"""`RuleOptimizer.load_state_dict`: what is wrong is refused before anything changes, what torch allows is loaded."""

import copy
import random
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch

from lrsched import Exponential, Linear, rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._loops import build as _build

FORMS = {
    "eager": {},
    "flat": {"flat": True},
    "compiled": {"compile": True},
    "compiled flat": {"compile": True, "flat": True},
    "leading copies": {"master": True},
}
NEEDS_COMPILER = pytest.mark.skipif(_build.compiler() is None, reason="there is no C++ compiler")
EACH = pytest.mark.parametrize(
    "form", [pytest.param(form, marks=NEEDS_COMPILER if "compiled" in form else ()) for form in FORMS]
)


def made(form="eager", rule=None, dtype=torch.float32):
    torch.manual_seed(0)
    ps = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in ((3, 2), (4,), (), (2, 2))]
    groups = [{"params": ps[:2]}, {"params": ps[2:], "lr": 0.02}]
    return RuleOptimizer(groups, rule or rules.Adam(), lr=Linear(0.1, 0.0, steps=20), **FORMS[form])


def params(opt):
    return [p for group in opt.param_groups for p in group["params"]]


def train(opt, steps):
    for t in steps:
        generator = torch.Generator().manual_seed(t)
        for p in params(opt):
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)
        opt.step()
    return opt


def trained(form="eager", steps=3, rule=None):
    return train(made(form, rule), range(steps))


def alike(one, other):
    """Whether two optimizers hold the same, to the last bit."""
    first, second = one.state_dict(), other.state_dict()
    assert first["param_groups"] == second["param_groups"]
    assert first["state"].keys() == second["state"].keys()
    for i, entry in first["state"].items():
        assert entry.keys() == second["state"][i].keys()
        for name, x in entry.items():
            y = second["state"][i][name]
            assert torch.equal(x, y) and x.dtype == y.dtype if isinstance(x, torch.Tensor) else x == y
    assert all(map(torch.equal, params(one), params(other)))
    return True


def entry(**changed):
    """Return what changes the state of a parameter."""

    def change(state):
        state["state"][1] = {k: x for k, x in {**state["state"][1], **changed}.items() if x is not GONE}
        return state

    return change


def group(**changed):
    """Return what changes the second group."""

    def change(state):
        state["param_groups"][1] = {k: x for k, x in {**state["param_groups"][1], **changed}.items() if x is not GONE}
        return state

    return change


def whole(**changed):
    return lambda state: {k: x for k, x in {**state, **changed}.items() if x is not GONE}


MUST = r"RuleOptimizer.load_state_dict\(state_dict=...\) must"
GONE = object()
NESTED: list = []
for _ in range(100_000):
    NESTED = [NESTED]
COUNTS = (
    -5, -1, 1.5, float("nan"), float("inf"), None, "x", "3", [3], True, 10**400, 2**60, 1j, torch.tensor(-1.0),
    torch.tensor(float("nan")), torch.tensor(0.5), torch.tensor([1.0, 2.0]), torch.tensor(True), torch.tensor(1j),
    np.float64("nan"), np.ones(2),
)  # fmt: skip
MOMENTS = (
    None, 0.0, "x", [0.0] * 4, np.zeros(4), torch.zeros(()), torch.zeros(1), torch.zeros(5), torch.zeros(4, 1),
    torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.bool), torch.zeros(4, dtype=torch.complex64),
    torch.zeros(4).to_sparse(), {}, GONE,
)  # fmt: skip
WRONG = {
    **{f"step {x!r}": entry(step=x) for x in (*COUNTS, GONE)},
    **{f"updates {x!r}": group(updates=x) for x in (*COUNTS, GONE)},
    **{f"m {x!r}": entry(m=x) for x in MOMENTS},
    **{f"a copy that leads {x!r}": entry(master=x) for x in MOMENTS[:-1]},
    **{f"lr {x!r}": group(lr=x) for x in (None, "x", True, float("nan"), [0.1], torch.ones(2), 1j, 10**400, GONE)},
    **{f"maximize {x!r}": group(maximize=x) for x in (None, "x", 2, torch.tensor(True))},
    **{f"params {x!r}": group(params=x) for x in (None, 2, [], [2], [2, 3, 4], [[], []], "", {}, GONE)},
    **{f"state {x!r}": whole(state=x) for x in (None, [], "x", 3, GONE)},
    **{f"groups {x!r}": whole(param_groups=x) for x in (None, [], {}, "x", [None, None], [{}, {}], GONE)},
    **{f"all {x!r}": lambda state, x=x: x for x in (None, [], "x", 3, {}, {"state": {}})},
    **{
        f"an entry {x!r}": lambda state, x=x: (state["state"].update({1: x}), state)[1]
        for x in (None, [], "x", 3, torch.zeros(4), {"m": torch.zeros(4)}, {"step": 3})
    },
    "text as keys": lambda state: {**state, "state": {str(i): x for i, x in state["state"].items()}},
    "a name as a key": lambda state: (state["state"].update({"w": {}}), state)[1],
    "parameters as keys": lambda state: (state["state"].update({torch.zeros(2): {}}), state)[1],
    "RAdam": lambda state: trained(rule=rules.RAdam()).state_dict(),
    "AMSGrad": lambda state: trained(rule=rules.AMSGrad()).state_dict(),
    "momentum": lambda state: trained(rule=rules.Momentum()).state_dict(),
    "LAMB": lambda state: trained(rule=rules.LAMB()).state_dict(),
    "torch": lambda state: train(torch.optim.Adam(params(made())), range(1)).state_dict(),
    "another rule by name": group(state_of="RAdam"),
    "a rule that is no text": group(state_of=np.ones(2)),
    "a slot too many without a name": lambda state: entry(v_max=torch.zeros(4))(group(state_of=GONE)(one_group(state))),
    "three groups": lambda state: whole(param_groups=[*state["param_groups"], state["param_groups"][0]])(state),
    "one group": lambda state: whole(param_groups=state["param_groups"][:1])(state),
    "groups the other way round": lambda state: whole(param_groups=state["param_groups"][::-1])(state),
    "a group that cannot be copied": group(note=(i for i in range(3))),
    "deep nesting": group(note=NESTED),
    "deep nesting in an entry": entry(note=NESTED),
}


def one_group(state):
    del state["param_groups"][0]["state_of"]
    return state


@EACH
def test_what_is_wrong_is_refused_and_training_goes_on_as_if_it_had_not_been_there(form):
    opt, twin = trained(form), trained(form)
    for name, change in WRONG.items():
        wrong = change(copied(trained().state_dict()))
        with pytest.raises((TypeError, ValueError), match=MUST) as caught:
            opt.load_state_dict(wrong)
        assert "got" in str(caught.value), name
        assert len(str(caught.value)) < 2_000 or "nesting" in name
    assert alike(opt, twin)
    assert alike(train(opt, range(3, 6)), train(twin, range(3, 6)))


def copied(state):
    return {"state": {i: dict(x) for i, x in state["state"].items()}, "param_groups": list(state["param_groups"])}


RIGHT = {
    "counts as torch keeps them": lambda state: each(state, lambda x: {**x, "step": torch.tensor(float(x["step"]))}),
    "whole floats": lambda state: each(state, lambda x: {**x, "step": float(x["step"])}),
    "counts of NumPy": lambda state: group(updates=np.int64(3))(each(state, lambda x: {**x, "step": np.int64(3)})),
    "another order": lambda state: each(state, lambda x: dict(reversed(x.items()))),
    "ordered dictionaries": lambda state: OrderedDict(each(state, OrderedDict)),
    "moments of another layout": lambda state: each(
        state, lambda x: {k: turned(v) if isinstance(v, torch.Tensor) else v for k, v in x.items()}
    ),
    "parameters as moments": lambda state: each(
        state, lambda x: {k: torch.nn.Parameter(v) if isinstance(v, torch.Tensor) else v for k, v in x.items()}
    ),
    "names as numbers": lambda state: {
        "state": {f"p{i}": x for i, x in state["state"].items()},
        "param_groups": [{**g, "params": [f"p{i}" for i in g["params"]]} for g in state["param_groups"]],
    },
    "no name of the rule": lambda state: {
        **state,
        "param_groups": [{k: x for k, x in g.items() if k != "state_of"} for g in state["param_groups"]],
    },
    "no direction": group(maximize=GONE),
    "more at the top": whole(note=1),
}


def turned(x):
    return x.t().contiguous().t() if x.dim() == 2 else x


def each(state, change):
    return {**state, "state": {i: change(x) for i, x in state["state"].items()}}


@EACH
@pytest.mark.parametrize("name", RIGHT)
def test_what_is_said_in_another_way_is_loaded(form, name):
    whole = trained(form, 6)
    first = trained(form)
    second = made(form)
    for p, q in zip(params(second), params(first), strict=True):
        p.data.copy_(q.detach())
    second.load_state_dict(RIGHT[name](copied(first.state_dict())))
    assert alike(train(second, range(3, 6)), whole)


@EACH
def test_a_parameter_without_a_state_starts_anew(form):
    for missing in (lambda state: state.pop(1), lambda state: state.update({1: {}})):
        state = copied(trained(form).state_dict())
        missing(state["state"])
        opt = made(form)
        opt.load_state_dict(state)
        train(opt, [3])
        assert [opt.state[p]["step"] for p in params(opt)] == [4, 1, 4, 4]


def test_what_belongs_to_no_parameter_stays_as_in_torch():
    for opt in (trained(), train(torch.optim.Adam(params(made())), range(1))):
        state = opt.state_dict()
        state["state"][99] = note = {"mine": 1}
        state["param_groups"][0]["note"] = [1]
        opt.load_state_dict(state)
        assert opt.state[99] is note
        assert opt.param_groups[0]["note"] == [1]
        assert opt.state_dict()["state"][99] is note
        train(opt, [3])


def test_what_others_keep_beside_the_slots_is_saved_and_loaded():
    opt, other = trained(), made()
    for p in params(opt):
        opt.state[p].update(note=["mine"], average=p.detach().clone())
    other.load_state_dict(opt.state_dict())
    for p, q in zip(params(opt), params(other), strict=True):
        assert other.state[q]["note"] == ["mine"]
        assert torch.equal(other.state[q]["average"], p.detach())
        assert other.state[q]["average"] is not opt.state[p]["average"]


@EACH
@pytest.mark.parametrize("size", [5, 2**15], ids=["small", "large"])
def test_no_memory_is_shared_whoever_goes_on_first(form, size):
    def one():
        torch.manual_seed(0)
        p = torch.nn.Parameter(torch.randn(size))
        return RuleOptimizer([p], rules.Adam(), lr=0.1, **FORMS[form])

    whole = train(one(), range(4))
    for both in (False, True):
        first, second = train(one(), range(2)), one()
        params(second)[0].data.copy_(params(first)[0].detach())
        second.load_state_dict(first.state_dict())
        if both:
            train(first, range(2, 4))
        assert alike(train(second, range(2, 4)), whole)
        assert alike(train(first, range(2, 4)) if not both else first, whole)


def test_hooks_see_what_torch_lets_them_see():
    opt, other, seen = trained(), made(), []

    def before(o, given):
        seen.append((o is other, given is not state, given.keys() == state.keys(), len(o.state)))
        given["state"] = {i: {**x, "step": 40} for i, x in given["state"].items()}

    def after(o):
        seen.append([o.state[p]["step"] for p in params(o)] + [g["updates"] for g in o.param_groups])
        seen.append([g["lr"] for g in o.param_groups])

    state = opt.state_dict()
    other.register_load_state_dict_pre_hook(before)
    other.register_load_state_dict_post_hook(after)
    other.load_state_dict(state)
    assert seen == [(True, True, True, 0), [40, 40, 40, 40, 3, 3], [Linear(0.1, 0.0, steps=20)(3), 0.02]]
    assert [x["step"] for x in state["state"].values()] == [3, 3, 3, 3]


def test_a_hook_that_spoils_the_state_changes_nothing():
    opt, twin = trained(), trained()
    handle = opt.register_load_state_dict_pre_hook(lambda o, given: {**given, "state": {0: {"step": -1}}})
    with pytest.raises(ValueError, match="must find"):
        opt.load_state_dict(twin.state_dict())
    handle.remove()
    assert alike(train(opt, range(3, 6)), train(twin, range(3, 6)))


def test_an_old_state_without_names_of_rules_is_told_by_its_slots():
    state = copied(trained(rule=rules.Momentum()).state_dict())
    state["param_groups"] = [{k: x for k, x in g.items() if k != "state_of"} for g in state["param_groups"]]
    with pytest.raises(ValueError, match=r"rule Adam\(\), which keeps \['step', 'm', 'v'\], got \['step', 'v'\]$"):
        made().load_state_dict(state)


def test_a_rate_in_a_tensor_of_one_element_is_loaded_as_a_number_in_one():
    opt, twin = trained(), trained()
    state = copied(opt.state_dict())
    for group in state["param_groups"]:
        group["lr"] = torch.tensor([group["lr"]], dtype=torch.float64)
        del group["maximize"]
    opt.load_state_dict(state)
    assert alike(train(opt, range(3, 6)), train(twin, range(3, 6)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (rules.AdamW(weight_decay=0.1), rules.Adam(b1=0.5)),
        (rules.ClipByGlobalNorm(1.0) >> rules.Momentum(), rules.Nesterov()),
        (rules.Split(rules.Muon(), rules.Adam()), rules.Split(rules.Muon(), rules.AdamW(weight_decay=0.1))),
    ],
    ids=["AdamW and Adam", "clipped momentum", "Muon"],
)
def test_other_numbers_and_parts_without_a_state_are_the_same_rule(one, other):
    made(rule=other).load_state_dict(trained(rule=one).state_dict())


JUNK = (*COUNTS[:16], *MOMENTS[:-1], {}, [], (), "", b"x", object(), Exponential(0.1, 0.5), {1: {2: {3: 4}}}, -0.0, 7)


def spoiled(state, draw):
    """Change one place of a state, anywhere."""
    place = state
    path = []
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw.choice(keys)
        path.append(key)
        if not isinstance(place[key], dict | list) or not place[key] or draw.random() < 0.2:
            break
        place = place[key]
    how = draw.random()
    if how < 0.15:
        del place[key]
    elif how < 0.3 and isinstance(place, dict):
        place[draw.choice(["x", 77, (1,), None])] = place.pop(key)
    else:
        place[key] = draw.choice(JUNK)
    return state


def search(seeds):
    refused = taken = 0
    for seed in seeds:
        draw = random.Random(seed)
        rule = draw.choice([rules.Adam(), rules.Momentum(), rules.SGD(), rules.Split(rules.Muon(), rules.Adam())])
        opt, twin = trained(steps=2, rule=rule), trained(steps=2, rule=rule)
        state = spoiled(copy.deepcopy(opt.state_dict()), draw)
        try:
            opt.load_state_dict(state)
        except (TypeError, ValueError) as error:
            refused += re.match(MUST, str(error)) is not None
            assert alike(opt, twin)
            assert alike(train(opt, range(2, 4)), train(twin, range(2, 4)))
        else:
            taken += 1
            # What stands in a moment is not looked at, as in torch: it would mean to wait for the device.
            sound = all(
                x.isfinite().all() for e in opt.state.values() for x in e.values() if isinstance(x, torch.Tensor)
            )
            train(opt, range(2, 4))
            assert not sound or all(torch.isfinite(p).all() for p in params(opt))
    assert refused + taken == len(seeds)
    return refused


def test_whatever_is_spoiled_is_refused_or_usable():
    assert search(range(120)) > 60


@pytest.mark.slow
def test_whatever_is_spoiled_is_refused_or_usable_in_a_wide_search():
    assert search(range(1_000, 6_000)) > 2_500
