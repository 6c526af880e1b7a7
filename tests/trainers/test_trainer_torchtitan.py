"""What docs/trainers.md says of torchtitan: its containers of optimizers and schedulers."""

from harness import emptied, follows, page, real
from torch_harness import all_watched, line, loader

from lrsched import Cosine, Warmup

# Its import prepares what reads commands, and checks of types across processes.
with emptied("spmd_types", "torchcomms", "tyro"):
    titan = real("torchtitan.components.optimizer", "torchtitan")
OWN = Warmup(3) >> Cosine(0.1, 0.0, steps=9)


def loss_of(model, batch):
    x, y = batch
    return ((model(x) - y) ** 2).mean()


def test_the_page():
    saved, used = None, []
    group = titan.ParamGroupConfig(pattern=".*", optimizer_name="AdamW", optimizer_kwargs={"lr": 0.1})
    for _ in range(2):
        model = line()
        config = titan.OptimizersContainer.Config(implementation="for-loop", param_groups=[group])
        with all_watched() as seen:
            found = page(
                "torchtitan", LRSchedulersContainer=titan.LRSchedulersContainer, model=model, data=loader(6),
                optimizers=titan.OptimizersContainer(config, model_parts=[model]), loss_of=loss_of, saved=saved,
                schedule=OWN,
            )  # fmt: skip
        assert found["schedulers"].get_metrics() == {"lr/AdamW": OWN(len(used) + 6)}
        used += seen[saved is not None :]  # a load makes the state by a step of rate 0
        saved = {"optimizer": found["optimizers"].state_dict(), "lr_scheduler": found["schedulers"].state_dict()}
    follows(OWN, used)
