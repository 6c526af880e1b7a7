"""What docs/trainers.md says of timm: the loop of its script, with its optimizers and its layer decay."""

import pytest
import torch
from harness import emptied, follows, page, real
from torch_harness import all_watched, line, loader

from lrsched import Cosine, Warmup
from lrsched_torch import TimmLR

# Its import prepares the reading of images.
with emptied("torchvision"):
    optim = real("timm.optim", "timm")
OWN = Warmup(3) >> Cosine(0.1, 0.0, steps=9)


def loss_of(model, batch):
    x, y = batch
    return ((model(x) - y) ** 2).mean()


def test_the_page():
    used = []
    for start, epochs in ((0, 2), (2, 4)):
        model = line()
        with all_watched() as seen:
            page(
                "timm", model=model, optimizer=optim.create_optimizer_v2(model, "sgd", lr=0.1), data=loader(3),
                loss_of=loss_of, start_epoch=start, epochs=epochs, schedule=OWN,
            )  # fmt: skip
        used += seen
    follows(OWN, used)


class Layers(torch.nn.Module):
    """A network that tells timm of its layers."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)

    def group_matcher(self, coarse=False):
        return {"stem": "^stem", "blocks": [("^head", None)]}


@pytest.mark.parametrize("relative", [False, True])
def test_the_rates_of_layers_are_scaled_as_timm_scales_them(relative):
    optimizer = optim.create_optimizer_v2(Layers(), "sgd", lr=0.5, layer_decay=0.5)
    scales = [group["lr_scale"] for group in optimizer.param_groups]
    assert len(set(scales)) > 1
    scheduler = TimmLR(optimizer, OWN, relative=relative)
    for t in range(12):
        first = 0.5 if relative else 1.0
        assert [group["lr"] for group in optimizer.param_groups] == [first * OWN(t) * scale for scale in scales]
        optimizer.step()
        scheduler.step_update(t + 1)


@pytest.mark.parametrize("epochs", [False, True])
def test_one_of_the_two_methods_moves_the_schedule(epochs):
    sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = TimmLR(sgd, OWN, t_in_epochs=epochs)
    scheduler.step(2, metric=0.5)
    assert sgd.param_groups[0]["lr"] == OWN(2 if epochs else 0)
    scheduler.step_update(5, metric=0.5)
    assert sgd.param_groups[0]["lr"] == OWN(2 if epochs else 5)
