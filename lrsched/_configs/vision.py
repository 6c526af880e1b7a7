"""Trainers of vision, speech and diffusion: detectron2, OpenMMLab's MMEngine, fairseq, diffusers, timm.

Read in detectron2 at 02b5c4e (2026-06-06), config/defaults.py, solver/build.py; MMEngine 0.10.7, runner/runner.py,
optim/optimizer; fairseq at 3d262bb (2025-09-30), dataclass/configs.py and optim/lr_scheduler; diffusers at 58eb52c
(2026-08-23), examples/text_to_image; timm at aa4b585 (2026-08-08), train.py and scheduler/scheduler_factory.py.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from lrsched import rules
from lrsched._configs.keys import Found, Keys, called
from lrsched._configs.pretraining import named
from lrsched._configs.updates import put_rule
from lrsched._core.check import Many, OneOrMany, Real, is_sequence
from lrsched._curves import Batches, Constant, Epochs, Schedule
from lrsched.compat import detectron2, diffusers, fairseq, mmengine, timm
from lrsched.compat._tools import number


def read_detectron2(keys: Keys) -> Found:
    """Read the section SOLVER of detectron2."""
    found, solver = Found(), keys.section("SOLVER")
    names = ("BASE_LR", "LR_SCHEDULER_NAME", "MAX_ITER", "STEPS", "GAMMA", "WARMUP_FACTOR", "WARMUP_ITERS")
    more = ("WARMUP_METHOD", "BASE_LR_END", "NUM_DECAYS", "RESCALE_INTERVAL")
    told = {key: solver.get(key, None, "lr") for key in (*names, *more)}
    cfg: dict[str, Any] = {"SOLVER": {key: value for key, value in told.items() if value is not None}}
    if "_BASE_" in keys:
        cfg["_BASE_"] = keys.get("_BASE_", None, "a file that is not read")
    found.schedules["lr"] = called(solver, detectron2.build_lr_scheduler, {"cfg": cfg})
    factor = solver.real("BIAS_LR_FACTOR", None, "lr[bias]: times lr")
    if factor is not None and factor != 1.0:
        found.schedules["lr[bias]"] = found.schedules["lr"] * factor
    found.budget["steps"] = int(float(told["MAX_ITER"] or 40_000))
    if (size := solver.whole("IMS_PER_BATCH", None, "budget: samples_per_step", low=1)) is not None:
        found.budget["samples_per_step"] = size
    rule = {"momentum": solver.real("MOMENTUM", 0.9, "optimizer"), "nesterov": solver.flag("NESTEROV")}
    rule["weight_decay"] = solver.real("WEIGHT_DECAY", 1e-4, "optimizer, but for norms")
    put_rule(found, solver, "OPTIMIZER", solver.get("OPTIMIZER", "SGD", "optimizer"), rule, None)
    clip = solver.section("CLIP_GRADIENTS")
    if clip.flag("ENABLED", False, "optimizer") and found.optimizer is not None:
        most = clip.real("CLIP_VALUE", 1.0, "optimizer")
        kinds: dict[str, rules.Part] = {
            "value": called(clip, rules.ClipByValue, {"limit": most}),
            "norm": called(clip, rules.ClipByNorm, {"max_norm": most, "eps": 1e-6}),
            "full_model": called(clip, rules.ClipByGlobalNorm, {"max_norm": most, "eps": 1e-6}),
        }
        found.optimizer = named(clip, "CLIP_TYPE", kinds, "value", "a clipping") >> found.optimizer
    return found


def looks_mmengine(keys: Keys) -> bool:
    """Return whether this is a configuration of MMEngine, or of its predecessor MMCV 1."""
    return any(name in keys for name in ("param_scheduler", "optim_wrapper", "lr_config"))


def read_mmengine(keys: Keys) -> Found:
    """Read a configuration of MMEngine: `param_scheduler`, `optim_wrapper` and `train_cfg`."""
    found, given = Found(), keys.journal.given
    if "lr_config" in keys and "param_scheduler" not in keys:
        keys.refuse("lr_config", "be written as param_scheduler of MMEngine: the hooks of MMCV 1 are not read")
    wrapper, loop = keys.section("optim_wrapper"), keys.section("train_cfg")
    optimizer = wrapper.section("optimizer")
    for key in ("_base_", "auto_scale_lr"):
        keys.unread(key, "a file that is not read" if key == "_base_" else "it is read as switched off")
    if keys.raw("auto_scale_lr.enable"):
        keys.refuse("auto_scale_lr", "be switched off: the rate is scaled by the devices, which no file tells")
    if "lr" not in optimizer or ("_base_" in keys and not keys.has("param_scheduler", "train_cfg")):
        what = "hold optim_wrapper.optimizer.lr, and with _base_ also param_scheduler and train_cfg"
        raise ValueError(f"{keys.journal.document.name} must {what}: other files are not read, got {list(keys)[:6]}")
    lr = optimizer.real("lr", None, "lr: the base rate")
    every = wrapper.whole("accumulative_counts", 1, "batches of an update", low=1)
    epochs, iterations = (loop.whole(f"max_{unit}", None, "budget: steps", low=1) for unit in ("epochs", "iters"))
    length = None if given.steps_per_epoch is None else given.steps_per_epoch * every
    if length is None and epochs and given.steps and given.steps * every % epochs == 0:
        length = given.steps * every // epochs
    if epochs is not None and length is None:
        raise keys.missing("where train_cfg counts epochs")
    run: dict[str, Any] = {"epoch_length": length, "max_epochs": epochs} if epochs else {"max_iters": iterations}
    total = iterations if epochs is None else epochs * (length or 1)
    if total is not None:
        found.budget["steps"] = -(-total // every)
    if epochs is not None:
        found.budget["steps_per_epoch"] = -(-(length or 1) // every)
    listed = keys.get("param_scheduler", None, "lr")

    def of(param: str, base: float) -> Schedule:
        given = {"lr": base, "configs": _mine(listed, param), **run, "param": param}
        if not given["configs"]:
            return Constant(base)
        made: Schedule = called(keys, mmengine.build_param_schedulers, given, "param_scheduler")
        return Batches(made, every) if every > 1 else made

    found.schedules["lr"] = of("lr", lr)
    momentum = (
        optimizer.raw("betas")[0]
        if is_sequence(optimizer.raw("betas"))
        else optimizer.real("momentum", None, "momentum")
    )
    if _mine(listed, "momentum"):
        if momentum is None:
            optimizer.refuse("momentum", "be given, for it is scheduled")
        found.schedules["momentum"] = of("momentum", float(momentum))
    decay = optimizer.real("weight_decay", None, "optimizer")
    if _mine(listed, "weight_decay"):
        found.schedules["weight_decay"] = of("weight_decay", decay or 0.0)
    parts = wrapper.section("paramwise_cfg")
    custom = parts.section("custom_keys")
    factors = {name: custom.section(name).real("lr_mult", None, "lr of this group: times lr") for name in custom}
    factors["bias"] = parts.real("bias_lr_mult", None, "lr[bias]: times lr")
    for name, factor in factors.items():
        if factor is not None and factor != 1.0:
            found.schedules[f"lr[{name}]"] = of("lr", lr * factor)
    _mmengine_rule(found, wrapper, optimizer)
    return found


def _mine(listed: Any, param: str) -> list[Any]:
    """Return the schedulers of one parameter."""
    entries = listed if is_sequence(listed) else [] if listed is None else [listed]
    suffix = {"lr": "LR", "momentum": "Momentum"}.get(param, "ParamScheduler")
    return [
        entry
        for entry in entries
        if not isinstance(entry, Mapping)
        or (str(entry.get("type")).endswith("ParamScheduler") and entry.get("param_name") == param)
        or (suffix != "ParamScheduler" and str(entry.get("type")).endswith(suffix))
        or (param == "lr" and not str(entry.get("type")).endswith(("LR", "Momentum", "ParamScheduler")))
    ]


def _mmengine_rule(found: Found, wrapper: Keys, optimizer: Keys) -> None:
    given = {key: optimizer.get(key, None, "optimizer") for key in optimizer if key not in ("type", "lr", "_scope_")}
    clip = wrapper.section("clip_grad")
    most = clip.real("max_norm", None, "optimizer: ClipByGlobalNorm")
    value = clip.real("clip_value", None, "optimizer: ClipByValue")
    name = optimizer.get("type", None, "optimizer")
    if clip.real("norm_type", 2.0) != 2.0:
        clip.unread("norm_type", "a norm for which there is no part here")
        return
    put_rule(found, optimizer, "type", name, given, most)
    if value is not None and found.optimizer is not None:
        found.optimizer = rules.ClipByValue(value) >> found.optimizer


_FAIRSEQ: dict[str, Callable[..., Schedule]] = {name: getattr(fairseq, name) for name in fairseq.__all__}


def looks_fairseq(keys: Keys) -> bool:
    """Return whether these are fairseq's sections, or its arguments."""
    if keys.journal.document.arguments:
        return "lr_scheduler" in keys and any(
            name in keys for name in ("warmup_updates", "max_update", "arch", "criterion")
        )
    return isinstance(keys.raw("optimization"), Mapping) and isinstance(keys.raw("lr_scheduler"), str | Mapping)


def read_fairseq(keys: Keys) -> Found:
    """Read fairseq's sections `optimization`, `lr_scheduler` and `optimizer`, or its arguments."""
    found, flat = Found(), keys.journal.document.arguments
    run = keys if flat else keys.section("optimization")
    plain = flat or isinstance(keys.raw("lr_scheduler"), str)
    sched = keys if plain else keys.section("lr_scheduler")
    function = named(keys, "lr_scheduler", _FAIRSEQ, "fixed") if plain else named(sched, "_name", _FAIRSEQ)
    rates = run.get("lr", (0.25,), "lr: the highest rate")
    several = is_sequence(rates) or str(rates).startswith(("[", "("))
    rates = number(Many(Real()) if several else Real(), rates)
    where = run.journal.where(run.at("lr"))
    given: dict[str, Any] = {"lr": OneOrMany(Real(low=0.0), 1000)(where, rates)}
    steps = run.whole("max_update", None, "budget: steps")
    if steps:
        found.budget["steps"] = steps
    steps = steps or keys.journal.given.steps
    for name in inspect.signature(function).parameters:
        if name == "updates_per_epoch":
            given[name] = keys.journal.given.steps_per_epoch
        elif name == "max_update":
            given[name] = steps
        elif name == "total_num_update":
            given[name] = sched.get(name, steps, "lr: the end of the decay")
            if given[name] is None:
                raise keys.missing("where neither total_num_update nor max_update is there", "steps")
        elif name not in ("lr", "args", "kwargs"):
            given[name] = sched.get(name, None, "lr")
    try:
        found.schedules["lr"] = called(keys, function, given, "lr_scheduler")
    except ValueError as error:
        if "updates_per_epoch" in str(error):
            raise keys.missing("where epochs have rates of their own", "steps_per_epoch") from None
        raise
    optimizer = keys if flat or isinstance(keys.raw("optimizer"), str) else keys.section("optimizer")
    key = "optimizer" if optimizer is keys else "_name"
    name = optimizer.get(key, None, "optimizer")
    rule = {k: optimizer.real(k, None, "optimizer") for k in ("momentum", "weight_decay")} if name == "sgd" else {}
    # fairseq's own Adam has its epsilon beside another root.
    put_rule(
        found,
        optimizer,
        key,
        name if name == "sgd" else f"fairseq's {name}",
        rule,
        run.real("clip_norm", None, "optimizer"),
    )
    return found


def looks_diffusers(keys: Keys) -> bool:
    """Return whether these are the arguments of a training script of diffusers."""
    return "lr_warmup_steps" in keys and any(name in keys for name in ("max_train_steps", "resolution"))


def read_diffusers(keys: Keys) -> Found:
    """Read the arguments of a script of diffusers, whose scheduler moves by processes, as its lengths do."""
    found, given = Found(), keys.journal.given
    if keys.flag("scale_lr"):
        keys.refuse("scale_lr", "be left out: the rate is multiplied by the devices, which no file tells")
    if "learning_rate" not in keys:
        raise ValueError(f"{keys.journal.document.name}: learning_rate must be given: each script has its own default")
    steps = keys.whole("max_train_steps", None, "budget: steps", low=1)
    epochs = keys.whole("num_train_epochs", None, "budget: steps", low=1) if steps is None else None
    if steps is None and epochs and given.steps_per_epoch:
        steps = epochs * given.steps_per_epoch
    if steps is not None:
        found.budget["steps"] = steps
    steps = steps or given.steps
    if steps is None:
        raise keys.missing("where max_train_steps is not there")
    arguments = {
        "lr": keys.real("learning_rate", None, "lr: the highest rate"),
        "name": keys.get("lr_scheduler", "constant", "lr"),
        "num_warmup_steps": keys.whole("lr_warmup_steps", 500, "lr: the warm-up"),
        "num_training_steps": steps,
        "num_cycles": keys.whole("lr_num_cycles", None, "lr"),
        "power": keys.real("lr_power", None, "lr"),
    }
    found.schedules["lr"] = called(keys, diffusers.get_scheduler, arguments, "lr_scheduler")
    rule: dict[str, Any] = {"betas": (keys.real("adam_beta1", 0.9, "optimizer"), keys.real("adam_beta2", 0.999, ""))}
    rule |= {"eps": keys.real("adam_epsilon", 1e-8, "optimizer")}
    rule |= {"weight_decay": keys.real("adam_weight_decay", 0.01, "optimizer")}
    if keys.flag("use_8bit_adam"):
        keys.unread("use_8bit_adam", "an optimizer for which there is no rule here")
        return found
    put_rule(found, keys, "optimizer", "adamw", rule, keys.real("max_grad_norm", 1.0, "optimizer: ClipByGlobalNorm"))
    return found


# The arguments of create_scheduler_v2 by the options of timm's train.py, and their defaults there.
_TIMM: dict[str, tuple[str, Any]] = {
    "sched": ("sched", "cosine"),
    "epochs": ("num_epochs", 300),
    "decay_epochs": ("decay_epochs", 90.0),
    "decay_milestones": ("decay_milestones", (90, 180, 270)),
    "warmup_epochs": ("warmup_epochs", 5),
    "cooldown_epochs": ("cooldown_epochs", 0),
    "decay_rate": ("decay_rate", 0.1),
    "min_lr": ("min_lr", 0.0),
    "warmup_lr": ("warmup_lr", 1e-5),
    "lr_cycle_mul": ("cycle_mul", 1.0),
    "lr_cycle_decay": ("cycle_decay", 0.5),
    "lr_cycle_limit": ("cycle_limit", 1),
    "lr_k_decay": ("k_decay", 1.0),
}


def looks_timm(keys: Keys) -> bool:
    """Return whether these are the arguments of timm's train.py."""
    return "sched" in keys and any(name in keys for name in ("epochs", "warmup_epochs", "opt"))


def read_timm(keys: Keys) -> Found:
    """Read the arguments of timm's train.py, which it saves as args.yaml."""
    found, every = Found(), keys.journal.given.steps_per_epoch
    if "lr" not in keys:
        raise ValueError(f"{keys.journal.document.name}: lr must be given: that of lr_base depends on the devices")
    if every is None:
        raise keys.missing("where epochs count", "steps_per_epoch")
    arguments: dict[str, Any] = {}
    for key, (name, default) in _TIMM.items():
        read = keys.whole if isinstance(default, int) else keys.real if isinstance(default, float) else keys.get
        arguments[name] = read(key, default, "lr")
    arguments |= {"lr": keys.real("lr", None, "lr: the highest rate"), "warmup_prefix": keys.flag("warmup_prefix")}
    if keys.raw("lr_noise") is not None:
        keys.refuse("lr_noise", "be left out: noise is no function of the epoch")
    by_update = keys.flag("sched_on_updates")
    if by_update:
        arguments |= {"step_on_epochs": False, "updates_per_epoch": every}
    made = called(keys, timm.create_scheduler_v2, arguments, "sched")
    found.schedules["lr"] = made if by_update or isinstance(made, Constant) else Epochs(made, every)
    if arguments["sched"] in ("cosine", "tanh", "poly") and arguments["cycle_limit"] == 1:
        prefix = arguments["warmup_epochs"] if arguments["warmup_prefix"] else 0
        found.budget["steps"] = (arguments["num_epochs"] + arguments["cooldown_epochs"] + prefix) * every
    keys.unread("layer_decay", "each layer has its part of the rate")
    name = str(keys.get("opt", "sgd", "optimizer"))
    rule: dict[str, Any] = {"weight_decay": keys.real("weight_decay", 2e-5, "optimizer, but for biases and norms")}
    if name in ("sgd", "momentum"):
        rule |= {"momentum": keys.real("momentum", 0.9, "optimizer"), "nesterov": name == "sgd"}
    else:
        rule |= {"betas": keys.get("opt_betas", None, "optimizer"), "eps": keys.real("opt_eps", None, "optimizer")}
    clip = keys.real("clip_grad", None, "optimizer: ClipByGlobalNorm")
    if clip and keys.get("clip_mode", "norm", "optimizer") != "norm":
        keys.unread("clip_mode", "a clipping for which there is no part here")
        return found
    put_rule(found, keys, "opt", "sgd" if name == "momentum" else name, rule, clip)
    return found
