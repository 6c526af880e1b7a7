"""How each library is run for a sample call: what its preset's tests know, under one signature.

Each function is named after a library; it takes the name of a function of that library, its arguments and a number of
updates, and returns the rates of the first updates: that many, or fewer where the library stops.
"""

import importlib
import types
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Part(NamedTuple):
    """A call inside a call: a function of the same library and its arguments."""

    name: str
    named: dict[str, Any]


def tests(name: str) -> types.ModuleType:
    """Return the module of tests that knows how to run a library; skip where the library is not installed."""
    return importlib.import_module(f"test_compat_{name}")


def torch(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("torch"), dict(named)
    if name == "one_cycle":  # what OneCycleLR keeps in the group
        name, given = "OneCycleLR", {"max_lr": named["max_lr"], "total_steps": named["total_steps"]}
    if name == "OneCycleLR":
        count = min(count, given["total_steps"])
    optimizer = t.sgd(given.pop("lr", 0.1))
    parts = given.pop("schedulers", None)
    if parts is None:
        return t.used(optimizer, t.live(name, optimizer, given), count)
    made = [t.live(p.name, optimizer, {k: v for k, v in p.named.items() if k != "lr"}) for p in parts]
    head = (optimizer, made) if name == "SequentialLR" else (made,)
    return t.used(optimizer, getattr(t.lr_scheduler, name)(*head, **given), count)


def optax(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t = tests("optax")
    given = dict(named)
    if "schedules" in given:
        given["schedules"] = [getattr(t.optax, p.name)(**p.named) for p in given["schedules"]]
    return t.values(getattr(t.optax, name)(**given), np.arange(count))


def keras(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t = tests("keras")
    return t.values(getattr(t.schedules, name)(**named), np.arange(count, dtype=np.int32))


def transformers(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t = tests("transformers")
    given = dict(named)
    if name == "from_config":
        arguments, given = given["config"], {}
        optimizer = t.sgd(arguments["learning_rate"])
        name, given["num_training_steps"] = "get_scheduler", arguments["max_steps"]
        given |= {"name": arguments["lr_scheduler_type"], "num_warmup_steps": arguments["warmup_steps"]}
    else:
        optimizer = t.sgd(given.pop("lr"))
    return t.rates_of(optimizer, getattr(t.optimization, name)(optimizer=optimizer, **given), count)


def paddle(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t = tests("paddle_live")
    if name == "OneCycleLR":
        count = min(count, named["total_steps"])
    return t.values(getattr(t.live, name)(**named), count)


def diffusers(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("diffusers"), dict(named)
    optimizer = t.sgd(given.pop("lr"))
    scheduler = getattr(t.live, name)(optimizer=optimizer, **given)
    return t.rates(optimizer, lambda step: scheduler.step(), count)


def timm(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("timm"), dict(named)
    if name != "create_scheduler_v2":
        return t.theirs(name, given.pop("lr"), count, **given)
    optimizer = t.Optimizer(given.pop("lr"))
    scheduler, _ = t.live.create_scheduler_v2(optimizer, **given)
    return t.rates(optimizer, scheduler.step, count)


def ignite(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t = tests("ignite")
    if name in ("CosineAnnealingScheduler", "LinearCyclicalScheduler", "PiecewiseLinear"):
        return t.simulate(name, count, **named)
    optimizer, given = t.sgd(named.get("lr", 0.1)), dict(named)

    def part(p: Part) -> Any:
        return getattr(t.live, p.name)(optimizer, "lr", **p.named)

    if name == "LRScheduler":
        inner = {k: v for k, v in named.items() if k not in ("lr_scheduler", "lr")}
        given = {"lr_scheduler": getattr(t.torch.optim.lr_scheduler, named["lr_scheduler"])(optimizer, **inner)}
    given = {k: part(v) if isinstance(v, Part) else v for k, v in given.items()}
    if "schedulers" in given:
        given["schedulers"] = [part(p) for p in given["schedulers"]]
    scheduler = getattr(t.live, name)(**given)
    found = []
    for _ in range(count):
        scheduler(None)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def fvcore(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    live, given = tests("fvcore").live, dict(named)
    total = given.pop("max_iter")
    if "schedulers" in given:
        parts = [{k: v for k, v in p.named.items() if k != "max_iter"} for p in given["schedulers"]]
        given["schedulers"] = [
            getattr(live, p.name)(**rest) for p, rest in zip(given["schedulers"], parts, strict=True)
        ]
    theirs = getattr(live, name)(**given)
    return [theirs(t / total) for t in range(min(count, total))]


def composer(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("composer"), dict(named)
    module = t.live if hasattr(t.live, name) else t.foundry
    lr, total = given.pop("lr"), given.pop("max_duration", "100ba")
    return t.theirs(module, name, count, total, 1.0, lr, given)


def deepspeed(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("deepspeed"), dict(named)
    if name == "from_config":
        name, given = given["config"]["type"], given["config"]["params"]
    optimizer = t.torch.optim.Adam([t.torch.zeros(1, requires_grad=True)], lr=given.pop("lr", 1.0))
    scheduler = getattr(t.live, name)(optimizer, **given)
    return t.rates(optimizer, lambda step: scheduler.step(), count)


def megatron(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t = tests("megatron")
    if name == "OptimizerParamScheduler":
        return t.theirs(count, **{"init_lr": 0.0, "min_lr": 0.0, **named})
    optimizer = t.Optimizer(1.0)
    scheduler = t.live.OptimizerParamScheduler(optimizer, 0.0, 1.0, 0.0, 0, 10, "constant", **named)
    found = [optimizer.param_groups[0]["weight_decay"]]
    for _ in range(count - 1):
        scheduler.step(1)
        found.append(optimizer.param_groups[0]["weight_decay"])
    return found


def mmengine(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    given = dict(named)
    lr = given.pop("lr")
    return tests("mmengine").theirs(lr, given.get("configs", [{"type": name, **given}]), count)


def fastai(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    live, given = tests("fastai").live, dict(named)
    steps = given.pop("steps", 0)
    if name == "LRFinder":
        name, steps = "SchedExp", given["num_it"]
        given = {"start": given["start_lr"], "end": given["end_lr"]}
    elif name == "fit_one_cycle":
        top = given["lr_max"]
        name, given = "combined_cos", {"pct": 0.25, "start": top / 25, "middle": top, "end": top / 1e5}
    elif name == "fit_flat_cos":
        lr = given["lr"]
        name, given = "combined_cos", {"pct": 0.75, "start": lr, "middle": lr, "end": lr / 1e5}
    elif name == "fit_sgdr":  # one cycle, then one of twice the length
        steps, top = 3 * given["steps_per_epoch"], given["lr_max"]
        name, given = (
            "combine_scheds",
            {"pcts": [1 / 3, 2 / 3], "scheds": [Part("SchedCos", {"start": top, "end": 0})] * 2},
        )
    given = {k: [getattr(live, p.name)(p.named["start"], p.named["end"]) for p in v] if k == "scheds" else v
             for k, v in given.items()}  # fmt: skip
    theirs = getattr(live, name)(*given.values())
    return [float(theirs(t / steps)) for t in range(min(steps, count))]


def mlx(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    live, given = tests("mlx").live, dict(named)
    if "schedules" in given:
        given["schedules"] = [getattr(live, p.name)(**p.named) for p in given["schedules"]]
    theirs = getattr(live, name)(**given)
    return [float(theirs(t)) for t in range(count)]


def nanotron(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("nanotron"), dict(named)
    optimizer, total = t.sgd(given["learning_rate"]), given.pop("total_training_steps")
    given = {"lr_warmup_style": "linear", "lr_decay_steps": None, "lr_decay_starting_step": None, **given}
    wrapped = types.SimpleNamespace(get_base_optimizer=lambda: optimizer)
    scheduler = t._live[name](wrapped, types.SimpleNamespace(**given), total)
    return t.rates(optimizer, lambda step: scheduler.step(), count)


def nemo(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("nemo"), dict(named)
    with t.warnings.catch_warnings():
        t.warnings.simplefilter("ignore")
        optimizer = t.sgd(given.pop("lr", 1.0))
        scheduler = getattr(t.live, name)(optimizer, **given)
        return t.rates(optimizer, lambda step: scheduler.step(), count)


def olmo_core(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    live, given = tests("olmo_core").live, dict(named)
    lr, total = given.pop("lr"), given.pop("t_max", 100)
    scheduler = getattr(live, name)(**given)
    return [scheduler.get_lr(lr, t + 1, total) for t in range(count)]


def pytorch_optimizer(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("pytorch_optimizer"), dict(named)
    optimizer = t.sgd(given.pop("lr", 0.5))
    scheduler = getattr(t if name.startswith("get") else t.live, name)(optimizer, **given)
    return t.rates(optimizer, lambda step: scheduler.step(), count)


def pytorch_warmup(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    del count  # the tests run 51 updates
    rest = [v for k, v in named.items() if k == "warmup_period"]
    return tests("pytorch_warmup").theirs(name, *rest)


def thinc(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    live = tests("thinc").live
    given = {k: getattr(live, v.name)(**v.named) if isinstance(v, Part) else v for k, v in named.items()}
    theirs = getattr(live, name)(**given)
    return [float(theirs(t)) for t in range(count)]


def torchtitan(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("torchtitan"), dict(named)
    if name == "from_config":
        config = given["config"]
        given = {
            "lr": config["optimizer"]["lr"],
            "training_steps": config["training"]["steps"],
            **config["lr_scheduler"],
        }
    lr, total = given.pop("lr"), given.pop("training_steps")
    optimizer = t.sgd(lr)
    scheduler = t.live.LRSchedulersContainer.Config(**given).build(optimizers=[optimizer], training_steps=total)
    return t.rates(optimizer, lambda step: scheduler.step(), min(count, total + 6))


def allennlp(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("allennlp"), dict(named)
    lr, n = given.pop("lr"), given.get("num_steps_per_epoch", 1)
    if name not in ("combined", "linear_with_warmup", "polynomial_decay", "slanted_triangular"):
        given.pop("num_steps_per_epoch", None)
    if name == "combined":
        given["schedulers"] = [(epochs, t.Lazy(config)) for epochs, config in given["schedulers"]]
    return t.rates(lambda optimizer: t.live[name](optimizer, **given), lr, n, count // n)


def levanter(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    given = dict(named)
    return tests("levanter").native(given.pop("num_train_steps"), given, range(count), True)


def speechbrain(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("speechbrain"), dict(named)
    if name == "LinearScheduler":
        return t.line(*named.values(), None, t.torch.float64)[:count]
    if name in ("InverseSquareRootScheduler", "IntervalScheduler"):
        first = given.pop("lr")
    else:
        first = next(given[key] for key in ("lr", "lr_initial", "initial_value", "base_lr") if key in given)
    scheduler = getattr(t.live, name)(**given)
    if name == "StepScheduler":
        return t.epochs(scheduler, first, count)
    if name != "CyclicLRScheduler":
        return t.used(scheduler, first, count, numbered=name in ("TriStageLRSchedule", "WarmCoolDecayLRSchedule"))
    optimizer = t.Optimizer(first)
    found = [first]
    for _ in range(1, count):
        scheduler.on_batch_end(optimizer)
        found.append(optimizer.lr)
    return found


def tensorflow_addons(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t, given = tests("tensorflow_addons"), dict(named)
    given = {
        k: t.tf.constant(v, t.tf.float64) if isinstance(v, float) and k != "gamma" else v for k, v in given.items()
    }
    if "scale_fn" in given:  # ours is a schedule of the cycle
        rate = given["scale_fn"].rate
        given["scale_fn"] = lambda cycle: 1 / (1 + rate * cycle)
    return np.array(getattr(t.live, name)(**given)(t.tf.constant(np.arange(count), t.tf.float64)))


def tf_models(name: str, named: dict[str, Any], count: int) -> Sequence[float]:
    t = tests("tf_models")
    given = {k: getattr(t.live, v.name)(**v.named) if isinstance(v, Part) else v for k, v in named.items()}
    if "boundaries" in given:
        given["boundaries"] = [float(boundary) for boundary in given["boundaries"]]
    if name == "StepCosineDecayWithOffset":
        count = named["boundaries"][-1]  # then it divides by zero
    return t.values(getattr(t.live, name)(**given), count, far=())[1]
