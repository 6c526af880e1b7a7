"""`TimmLR`: the two methods of timm's schedulers, which say what is done."""

import copy
import pickle
import warnings

import pytest
import torch

from lrsched import Cosine, Warmup
from lrsched_torch import TimmLR

S = Warmup(3) >> Cosine(0.1, 0.0, steps=7)


def build(schedule=S, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    return optimizer, TimmLR(optimizer, schedule, **options)


@pytest.mark.parametrize("t_in_epochs", [False, True])
def test_one_of_the_two_methods_moves_it(t_in_epochs):
    optimizer, scheduler = build(t_in_epochs=t_in_epochs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in range(4):
            for i in range(3):
                done = epoch * 3 + i
                assert optimizer.param_groups[0]["lr"] == S(epoch if t_in_epochs else done)
                optimizer.step()
                scheduler.step_update(num_updates=done + 1, metric=0.5)
            scheduler.step(epoch + 1, 0.5)


def test_it_goes_anywhere_and_back_and_its_state_is_that_of_a_scheduler():
    optimizer, scheduler = build()
    for count in (9, 2, 0, 5):
        scheduler.step_update(count)
        assert optimizer.param_groups[0]["lr"] == S(count)
    other, loaded = build()
    loaded.load_state_dict(scheduler.state_dict())
    assert other.param_groups[0]["lr"] == S(5)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_copies_go_on(again):
    optimizer, scheduler = again(build())
    optimizer.step()
    scheduler.step_update(1)
    assert optimizer.param_groups[0]["lr"] == S(1)


@pytest.mark.parametrize("wrong", [None, -1, 0.5, "1", True])
def test_a_count_is_a_whole_number(wrong):
    optimizer, scheduler = build()
    scheduler.step_update(2)
    with pytest.raises(ValueError, match=r"TimmLR\.step_update\(num_updates=\.\.\.\) must be an int"):
        scheduler.step_update(wrong)
    with pytest.raises(ValueError, match=r"TimmLR\.step\(epoch=\.\.\.\) must be an int"):
        scheduler.step(wrong)
    assert optimizer.param_groups[0]["lr"] == S(2)


def test_groups_with_a_scale_get_their_part_of_the_rate_and_one_that_is_left_alone_stays():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr_scale": scale} for scale in (1.0, 0.5, 0.25)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = TimmLR(optimizer, [S, S, None])
    scheduler.step_update(5)
    assert [group["lr"] for group in optimizer.param_groups] == [S(5), 0.5 * S(5), 1.0]
