"""`per_update=True`: a scheduler moves once for each update, however often it is stepped."""

import copy
import pickle
import random

import pytest
import torch

from lrsched import Cosine, Warmup, feedback
from lrsched_torch import FeedbackLR, ScheduleLR

S = Warmup(3) >> Cosine(0.1, 0.0, steps=40)


def build(kind=ScheduleLR, *more, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    return optimizer, kind(optimizer, S, *more, per_update=True, **options)


def test_any_number_of_steps_after_an_update_is_one_and_before_it_none():
    optimizer, scheduler = build()
    draw = random.Random(7)
    used = []
    for _ in range(30):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for _ in range(draw.randint(1, 5)):
            scheduler.step()
    assert used == [S(t) for t in range(30)]
    assert scheduler.last_epoch == 30


def test_several_updates_before_a_step_are_one_step():
    optimizer, scheduler = build()
    for _ in range(4):
        optimizer.step()
    scheduler.step()
    scheduler.step()
    assert scheduler.last_epoch == 1


def test_a_step_before_the_first_update_is_none():
    _, scheduler = build()
    scheduler.step()
    assert scheduler.last_epoch == 0


def test_a_metric_of_one_update_is_seen_once():
    optimizer, scheduler = build(FeedbackLR, feedback.Plateau(factor=0.5, patience=2))
    for _ in range(3):
        optimizer.step()
        for _ in range(4):
            scheduler.step(1.0)
    assert (scheduler.last_epoch, scheduler.factor) == (3, 1.0)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_copies_count_too(again):
    optimizer, scheduler = again(build())
    for _ in range(2):
        optimizer.step()
        scheduler.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == S(2)


def test_a_loaded_scheduler_counts_on():
    optimizer, scheduler = build()
    scheduler.load_state_dict({"last_epoch": 7})
    scheduler.step()
    assert scheduler.last_epoch == 7
    optimizer.step()
    scheduler.step()
    scheduler.step()
    assert scheduler.last_epoch == 8


def test_what_a_scaler_has_skipped_is_no_update():
    optimizer, scheduler = build()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    (p,) = optimizer.param_groups[0]["params"]
    for t, gradient in enumerate([1.0, float("inf"), float("inf"), 1.0]):
        assert scheduler.last_epoch == min(t, 1)
        scaler.scale(p.sum() * gradient).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        scheduler.step(scaler=scaler)
        scheduler.step(scaler=scaler)
    assert scheduler.last_epoch == 2


@pytest.mark.parametrize("wrong", [1, "yes", None])
def test_it_is_yes_or_no(wrong):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(TypeError, match=r"ScheduleLR\(per_update=\.\.\.\) must be a bool"):
        ScheduleLR(optimizer, S, per_update=wrong)
    assert "initial_lr" not in optimizer.param_groups[0]
