"""Random lives of schedulers: steps, loads in any order, other schedules, copies, groups that come, go and move."""

import copy
import pickle
import random

import pytest
import torch

from lrsched import Cosine, Exponential, Linear, Warmup, feedback, rules
from lrsched_torch import FeedbackLR, RuleOptimizer, ScheduleLR

SCHEDULES = [
    Warmup(3) >> Cosine(0.1, 0.0, steps=7),
    Linear(0.5, 0.25, steps=9),
    Exponential(0.75, 0.9),
    Warmup(2) >> Linear(0.3, 0.01, steps=11),
]
KINDS = {
    "SGD": (lambda groups: torch.optim.SGD(groups, momentum=0.9), ["lr", "momentum", "weight_decay"]),
    "AdamW": (lambda groups: torch.optim.AdamW(groups), ["lr", "betas[0]", "betas[1]", "weight_decay", "eps"]),
    "tensors": (lambda groups: torch.optim.Adam(groups, lr=torch.tensor(0.5), foreach=False), ["lr", "betas[0]"]),
    "RuleOptimizer": (lambda groups: RuleOptimizer(groups, rules.Adam(), lr=0.5), ["lr"]),
}


def weight():
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    return p


def entry(group, field):
    key, _, item = field.partition("[")
    return float(group[key][int(item[:-1])] if item else group[key])


class Life:
    """An optimizer with schedulers, and what each of them must have written."""

    def __init__(self, draw, kind, count):
        self.draw, self.kind = draw, kind
        build, fields = KINDS[kind]
        groups = [{"params": [weight()]} for _ in range(count)]
        for i, group in enumerate(groups):
            # Each its own tensor: groups that share one share the rate.
            group["lr"] = torch.tensor(0.5 * (i + 1)) if kind == "tensors" else 0.5 * (i + 1)
        self.opt = build(groups)
        self.schedulers, self.plans, self.epochs = [], [], []
        for field in draw.sample(fields, draw.randint(1, len(fields))):
            plan = [draw.choice([None, *SCHEDULES]) for _ in range(count)] if draw.random() < 0.5 else None
            schedule = plan or draw.choice(SCHEDULES)
            if draw.random() < 0.2 and field == "lr":
                made = FeedbackLR(self.opt, schedule, feedback.Plateau(factor=0.5, patience=1))
            else:
                made = ScheduleLR(self.opt, schedule, field=field, relative=draw.random() < 0.3)
            plan = plan or [schedule] * count
            self.schedulers.append(made)
            # By the parameter: dictionaries of groups are replaced when a state is loaded.
            self.plans.append({id(g["params"][0]): s for g, s in zip(self.opt.param_groups, plan, strict=True)})
            self.epochs.append(0)
        self.late = set()

    def check(self):
        for scheduler, plan, epoch in zip(self.schedulers, self.plans, self.epochs, strict=True):
            assert scheduler.last_epoch == epoch
            for group, last in zip(self.opt.param_groups, scheduler.get_last_lr(), strict=not self.late):
                p = id(group["params"][0])
                if plan[p] is None or p in self.late:
                    continue
                value = plan[p](epoch) * getattr(scheduler, "factor", 1.0)
                if scheduler.relative:
                    value *= group[f"initial_{scheduler.field}"]
                assert entry(group, scheduler.field) == pytest.approx(value, rel=1e-6)
                assert float(last) == pytest.approx(value, rel=1e-6)

    def step(self):
        self.opt.step()
        for i, scheduler in enumerate(self.schedulers):
            scheduler.step(metrics=self.draw.choice([None, 1.0]))
            self.epochs[i] += 1
        self.late.clear()

    def states(self):
        found = copy.deepcopy([one.state_dict() for one in (self.opt, *self.schedulers)])
        return found, [scheduler.field for scheduler in self.schedulers]

    def load(self, states, fields):
        """Load some of the states in any order."""
        known = [scheduler.field for scheduler in self.schedulers]
        pairs = [(self.opt, states[0], None)] + [
            (self.schedulers[known.index(field)], state, known.index(field))
            for field, state in zip(fields, states[1:], strict=True)
            if field in known
        ]
        for one, state, i in self.draw.sample(pairs, self.draw.randint(1, len(pairs))):
            if i is not None and len(state["_last_lr"]) != len(self.opt.param_groups):
                continue
            if i is None and len(state["param_groups"]) != len(self.opt.param_groups):
                continue
            if isinstance(one, FeedbackLR) and "rule" not in state:
                continue
            one.load_state_dict(copy.deepcopy(state))
            if i is not None:
                self.epochs[i] = state["last_epoch"]
                self.late.clear()

    def spoil(self):
        """Try to load what is refused."""
        i = self.draw.randrange(len(self.schedulers))
        state = self.schedulers[i].state_dict()
        state[self.draw.choice(["last_epoch", "_step_count", "_last_lr", "format"])] = self.draw.choice(["3", None, -7])
        with pytest.raises(ValueError, match="must be"):
            self.schedulers[i].load_state_dict(state)

    def turn(self):
        self.draw.shuffle(self.opt.param_groups)
        if self.draw.random() < 0.5:
            self.load(*self.states())
        self.step()

    def remove(self):
        if len(self.opt.param_groups) > 1:
            gone = self.opt.param_groups.pop(self.draw.randrange(len(self.opt.param_groups)))
            self.opt.state.pop(gone["params"][0], None)  # or torch cannot tell its state any more
            self.step()

    def add(self):
        p = weight()
        self.opt.add_param_group({"params": [p], "lr": torch.tensor(0.5) if self.kind == "tensors" else 0.5})
        for scheduler, plan in zip(self.schedulers, self.plans, strict=True):
            plan[id(p)] = scheduler.schedules[-1]
        self.late.add(id(p))
        self.step()

    def duplicate(self):
        old = [group["params"][0] for group in self.opt.param_groups]
        both = (self.opt, self.schedulers)
        self.opt, self.schedulers = (
            copy.deepcopy(both) if self.draw.random() < 0.5 else pickle.loads(pickle.dumps(both))
        )
        new = [group["params"][0] for group in self.opt.param_groups]
        for p in new:
            p.grad = torch.ones(2)
        self.plans = [{id(q): plan[id(p)] for p, q in zip(old, new, strict=True)} for plan in self.plans]
        self.kept = old  # so that no other object gets their place in memory

    def by_hand(self):
        for group in self.opt.param_groups:
            group["lr"] = torch.tensor(0.125) if isinstance(group["lr"], torch.Tensor) else 0.125
        self.step()


def live(seed, kind, events):
    draw = random.Random(f"{seed} {kind}")
    life, saved, lives = Life(draw, kind, draw.randint(1, 3)), [], []
    for _ in range(events):
        event = draw.choice(
            ["step", "step", "save", "load", "new", "spoil", "turn", "remove", "add", "duplicate", "by_hand"]
        )
        if event == "save":
            saved.append(life.states())
        elif event == "new":
            lives.append(life)  # kept, as its parameters are known by their place in memory
            life = Life(draw, kind, len(life.opt.param_groups))
        elif event == "load":
            if saved:
                life.load(*draw.choice(saved))
        else:
            getattr(life, event)()
        life.check()


@pytest.mark.filterwarnings("ignore:the state was saved with", "ignore:.*was called before")
@pytest.mark.parametrize("kind", KINDS)
def test_a_scheduler_has_written_what_its_schedule_says_through_its_life(kind):
    for seed in (*range(4), 1418):  # in which groups of a relative scheduler change places before a load
        live(seed, kind, 40)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the state was saved with", "ignore:.*was called before")
@pytest.mark.parametrize("kind", KINDS)
def test_a_scheduler_has_written_what_its_schedule_says_through_many_lives(kind):
    for seed in range(1000, 1500):
        live(seed, kind, 40)
