"""Trainers of language models: Megatron-LM, GPT-NeoX, NeMo, torchtitan, nanotron, llm-foundry.

Read in Megatron-LM at d98e8a6 (2026-08-22), training/arguments.py and training.py; GPT-NeoX at ea7aefd (2026-05-20),
training.py and neox_arguments; NeMo at 8cfedd7 (2025-09-20), core/classes/modelPT.py and core/optim; torchtitan 0.3.0,
and at 238fa99 (2026-02-23) for TOML; nanotron 0.4; llm-foundry 0.22.0 and Composer 0.32.1.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from lrsched._configs.keys import Found, Keys, called
from lrsched._configs.updates import put_rule
from lrsched._core.check import Int, Many, Real
from lrsched._core.names import closest
from lrsched._curves import Consumed, Schedule
from lrsched._recipes.staircases import batch_ramp
from lrsched.compat import composer, gpt_neox, llmfoundry, megatron, nemo, torchtitan
from lrsched.compat import nanotron as nano

BETAS = Many(Real(low=0.0), least=2)


def named(keys: Keys, key: str, known: Mapping[str, Any], default: str | None = None, what: str = "a scheduler") -> Any:
    """Return what a name in a configuration stands for.

    Raises:
        ValueError: it stands for nothing; the message has the three nearest names.
    """
    name = keys.get(key, default, "lr")
    if not isinstance(name, str) or name not in known:
        near = " or ".join(map(repr, closest(str(name), list(known))))
        keys.refuse(key, f"be the name of {what}, such as {near}")
    return known[name]


def _steps(keys: Keys, found: Found, key: str, default: int | None = None) -> int:
    """Return the updates of the run, which an entry or the budget tells."""
    steps = keys.whole(key, default, "budget: steps", low=1)
    if steps is not None:
        found.budget["steps"] = steps
    steps = steps or keys.journal.given.steps
    if steps is None:
        raise keys.missing(f"where {key} is not there", "steps")
    return int(steps)


def looks_megatron(keys: Keys) -> bool:
    """Return whether these are the arguments of Megatron-LM."""
    telling = ("lr_decay_style", "lr_warmup_iters", "lr_warmup_samples", "lr_warmup_fraction", "train_samples")
    return any(name in keys for name in telling) and "optimizer.params" not in keys and "warmup" not in keys


def read_megatron(keys: Keys) -> Found:
    """Read the arguments of Megatron-LM."""
    found, given = Found(), keys.journal.given
    size = given.samples_per_step
    batch = keys.whole("global_batch_size", size if isinstance(size, int) else None, "budget: samples_per_step", low=1)
    samples = keys.whole("train_samples", None, "budget: steps", low=1)
    unit = 1 if samples is None else 0
    if samples is not None:
        if batch is None:
            raise keys.missing(
                "where train_samples counts samples and global_batch_size is not there", "samples_per_step"
            )
        found.budget["steps"] = samples // batch
        unit = batch
    else:
        _steps(keys, found, "train_iters")
    if batch is not None:
        found.budget["samples_per_step"] = batch
        if (length := keys.whole("seq_length", None, "budget: tokens_per_step")) is not None:
            found.budget["tokens_per_step"] = batch * length
    ramp = keys.get("rampup_batch_size", None, "batch_size", Many(Int(low=1), least=3))
    run = int(samples or found.budget.get("steps") or given.steps or 1)
    _megatron(keys, found, "samples" if samples is not None else "iters", run, unit, ramp, batch)
    name = keys.get("optimizer", "adam", "optimizer")
    rule: dict[str, Any] = {"weight_decay": keys.real("weight_decay", 0.01, "optimizer, but for biases and norms")}
    if name == "adam":
        rule["betas"] = (keys.real("adam_beta1", 0.9, "optimizer"), keys.real("adam_beta2", 0.999, "optimizer"))
        rule["eps"] = keys.real("adam_eps", 1e-8, "optimizer")
    else:
        rule["momentum"] = keys.real("sgd_momentum", 0.9, "optimizer")
    clip = keys.real("clip_grad", 1.0, "optimizer: ClipByGlobalNorm")
    put_rule(found, keys, "optimizer", "adamw" if name == "adam" else name, rule, clip)
    return found


def _megatron(keys: Keys, found: Found, unit: str, run: int, size: int, ramp: Any, batch: int | None) -> None:
    """Set the schedules; lengths are in samples or iterations, of which an update has `size`."""
    decay = keys.whole(f"lr_decay_{unit}", run, "lr: the end of the decay", low=1)
    part = keys.real("lr_warmup_fraction", None, "lr: the warm-up")
    warmup = keys.whole(f"lr_warmup_{unit}", 0, "lr: the warm-up") if part is None else part * decay
    tail = keys.whole(f"lr_wsd_decay_{unit}", None, "lr: the last phase")
    rates: dict[str, Any] = {"lr": (keys.real("lr", None, "lr: the highest rate"), keys.real("min_lr", 0.0, "lr"))}
    if rates["lr"][0] is None:
        raise ValueError(f"{keys.journal.document.name}: lr must be given: Megatron has no default")
    if "decoupled_lr" in keys:
        other = keys.real("decoupled_lr", None, "lr[embedding and output]")
        rates["lr[embedding and output]"] = other, keys.real("decoupled_min_lr", rates["lr"][1], "its lowest rate")
    ramped = ramp is not None
    if ramped and (len(ramp) != 3 or unit == "iters"):
        keys.refuse("rampup_batch_size", "be three numbers, start, increment and samples, with train_samples")
    size = 1 if ramped else size
    common = {
        "init_lr": keys.real("lr_warmup_init", 0.0, "lr: the first rate"),
        "lr_warmup_steps": warmup / size,
        "lr_decay_steps": decay / size,
        "lr_decay_style": keys.get("lr_decay_style", "linear", "lr"),
        "wsd_decay_steps": None if tail is None else tail / size,
        "lr_wsd_decay_style": keys.get("lr_wsd_decay_style", "exponential", "lr") if tail else None,
    }
    batches = None
    if ramped:
        first, more, samples = ramp
        batches = called(keys, batch_ramp, {"start": first, "end": batch, "samples": samples, "increment": more},
                         "rampup_batch_size")  # fmt: skip
        found.schedules["batch_size"] = found.budget["samples_per_step"] = batches
        found.budget.pop("tokens_per_step", None)
        rising = batches.length or 0
        found.budget["steps"] = rising + max(run - round(sum(map(batches, range(rising)))), 0) // (batch or 1)
    for what, (top, low) in rates.items():
        made = called(keys, megatron.OptimizerParamScheduler, {**common, "max_lr": top, "min_lr": low})
        found.schedules[what] = made if batches is None else Consumed(made, batches)
    style = keys.get("weight_decay_incr_style", None, "weight_decay")
    if style not in (None, "constant"):
        ends = {f"{end}_wd": keys.real(f"{end}_weight_decay", None, "weight_decay") for end in ("start", "end")}
        made = called(keys, megatron.get_wd, {**ends, "wd_incr_steps": run / size, "wd_incr_style": style})
        found.schedules["weight_decay"] = made if batches is None else Consumed(made, batches)


def looks_neox(keys: Keys) -> bool:
    """Return whether this is a configuration of GPT-NeoX."""
    return keys.has("optimizer.params") and any(
        name in keys for name in ("train_iters", "lr_decay_iters", "train_epochs")
    )


def read_neox(keys: Keys) -> Found:
    """Read a configuration of GPT-NeoX."""
    found = Found()
    optimizer = keys.section("optimizer")
    params = optimizer.section("params")
    name = str(optimizer.get("type", "Adam", "optimizer"))
    if name.lower() == "onebitadam":
        optimizer.refuse("type", "be an optimizer whose scheduler GPT-NeoX makes")
    steps = _steps(keys, found, "train_iters")
    end = keys.whole("lr_decay_iters", None, "lr: the end of the decay", low=1)
    part = keys.real("lr_decay_fraction", None, "lr: the end of the decay") if end is None else None
    total = max(1, end or (steps if part is None else math.floor(steps * part)))
    given = {
        "start_lr": params.real("lr", None, "lr: the highest rate"),
        "warmup_iter": keys.real("warmup", 0.01, "lr: the warm-up, a part of the decay") * total,
        "total_iters": total,
        "decay_style": keys.get("lr_decay_style", "linear", "lr"),
        "min_lr": keys.real("min_lr", 0.0, "lr: the lowest rate"),
    }
    if given["start_lr"] is None:
        params.refuse("lr", "be given")
    found.schedules["lr"] = called(keys, gpt_neox.AnnealingLR, given)
    if (size := keys.whole("train_batch_size", None, "budget: samples_per_step", low=1)) is not None:
        found.budget["samples_per_step"] = size
    rule = {key: params.get(key, None, "optimizer") for key in params if key != "lr"}
    rule["weight_decay"] = keys.real("weight_decay", 0.1, "optimizer, but for biases and norms")
    clip = keys.real("gradient_clipping", 1.0, "optimizer: ClipByGlobalNorm")
    put_rule(found, optimizer, "type", "adamw" if name.lower() == "adam" else name, rule, clip)
    return found


_NEMO = {name: getattr(nemo, name) for name in nemo.__all__}
_BESIDE = ("name", "max_steps", "monitor", "reduce_on_plateau", "iters_per_batch", "args", "last_epoch")


def _nemo_optim(keys: Keys) -> Keys | None:
    for place in ("model.optim", "optim"):
        if isinstance(keys.raw(f"{place}.sched"), Mapping):
            return keys.section(place)
    return keys if isinstance(keys.raw("sched"), Mapping) and "lr" in keys else None


def looks_nemo(keys: Keys) -> bool:
    """Return whether this is a configuration of NeMo."""
    return any(isinstance(keys.raw(f"{place}sched"), Mapping) for place in ("model.optim.", "optim.", ""))


def read_nemo(keys: Keys) -> Found:
    """Read the section `optim` of NeMo, with its `sched`."""
    found, optim = Found(), _nemo_optim(keys)
    if optim is None:
        raise ValueError(f"{keys.journal.document.name} must hold optim.sched, or model.optim.sched")
    sched, trainer = optim.section("sched"), keys.section("trainer")
    function = named(sched, "name", _NEMO)
    inner = sched.section("args").section("params") if "args" in sched else sched
    parameters = inspect.signature(function).parameters
    given = {key: inner.get(key, None, "lr") for key in inner if key not in _BESIDE}
    if "lr" in parameters:
        given["lr"] = optim.real("lr", None, "lr: the highest rate")
    if "max_steps" in parameters:
        given["max_steps"] = _nemo_steps(keys, found, sched, trainer)
    found.schedules["lr"] = called(sched, function, given)
    betas = optim.get("betas", None, "optimizer", BETAS)
    rule = {"betas": betas, "eps": optim.real("eps", None, "optimizer"), "momentum": optim.real("momentum", None, "")}
    rule["weight_decay"] = optim.real("weight_decay", None, "optimizer")
    clip = trainer.real("gradient_clip_val", None, "optimizer: ClipByGlobalNorm")
    put_rule(found, optim, "name", optim.get("name", None, "optimizer"), rule, clip)
    return found


def _nemo_steps(keys: Keys, found: Found, sched: Keys, trainer: Keys) -> int:
    """Return the last step: that of the trainer takes the place of that of the scheduler."""
    run = trainer.whole("max_steps", None, "budget: steps", low=-1)
    told = sched.whole("max_steps", None, "lr: its last step", low=-1)
    epochs, given = trainer.whole("max_epochs", None, "budget: steps", low=-1), keys.journal.given
    if run is not None and run >= 0:
        found.budget["steps"] = told = run
    elif epochs is not None and epochs > 0 and given.steps_per_epoch:
        found.budget["steps"] = epochs * given.steps_per_epoch
    steps = told or found.budget.get("steps", given.steps)
    if steps is None:
        raise keys.missing("where neither trainer.max_steps nor sched.max_steps is there")
    return int(steps)


def looks_torchtitan(keys: Keys) -> bool:
    """Return whether these are the tables of torchtitan."""
    training = keys.raw("training")
    own = isinstance(training, Mapping) and any(
        name in training for name in ("local_batch_size", "seq_len", "steps", "batch_size")
    )
    flavor = isinstance(keys.raw("model.flavor"), str) or isinstance(keys.raw("job"), Mapping)
    return (own or flavor) and any(isinstance(keys.raw(name), Mapping) for name in ("lr_scheduler", "optimizer"))


def read_torchtitan(keys: Keys) -> Found:
    """Read the tables of torchtitan."""
    found = Found()
    training, optimizer, scheduler = (keys.section(name) for name in ("training", "optimizer", "lr_scheduler"))
    tables: dict[str, Any] = {}
    tables["training"] = {key: training.get(key, None, "lr") for key in training if "warmup" in key or "lr" in key}
    tables["training"]["steps"] = _steps(training, found, "steps", 10_000)
    tables["lr_scheduler"] = {key: scheduler.get(key, None, "lr") for key in scheduler}
    groups = optimizer.sections("param_groups")
    for i, group in enumerate(groups):
        kwargs = group.section("optimizer_kwargs")
        rate = kwargs.real("lr", None, "lr: the highest rate")
        part = {"optimizer_kwargs": {"lr": rate}}
        pattern = group.get("pattern", "", f"lr[{i}]")
        built = called(keys, torchtitan.from_config, {"config": {**tables, "optimizer": {"param_groups": [part]}}})
        found.schedules["lr" if len(groups) == 1 else f"lr[{pattern or i}]"] = built
    if not groups:
        tables["optimizer"] = {"lr": optimizer.real("lr", 8e-4, "lr: the highest rate")}
        found.schedules["lr"] = called(keys, torchtitan.from_config, {"config": tables})
        name = optimizer.get("name", "AdamW", "optimizer")
        rule = {"betas": (optimizer.real("beta1", 0.9, "optimizer"), optimizer.real("beta2", 0.95, "optimizer"))}
        rule |= {
            "eps": optimizer.real("eps", 1e-8, "optimizer"),
            "weight_decay": optimizer.real("weight_decay", 0.1, "optimizer"),
        }
        put_rule(found, optimizer, "name", name, rule, training.real("max_norm", 1.0, "optimizer: ClipByGlobalNorm"))
    size, length = (
        training.whole("global_batch_size", None, "budget", low=-1),
        training.whole("seq_len", None, "budget"),
    )
    if size is not None and size > 0:
        found.budget["samples_per_step"] = size
        if length is not None:
            found.budget["tokens_per_step"] = size * length
    return found


_NANOTRON = tuple(inspect.signature(nano.lr_scheduler_builder).parameters)[2:]


def read_nanotron(keys: Keys) -> Found:
    """Read a configuration of nanotron."""
    found = Found()
    optimizer, tokens = keys.section("optimizer"), keys.section("tokens")
    section, factory = optimizer.section("learning_rate_scheduler"), optimizer.section("optimizer_factory")
    given = {key: section.get(key, None, "lr") for key in ("learning_rate", *_NANOTRON)}
    given["total_training_steps"] = _steps(tokens, found, "train_steps")
    found.schedules["lr"] = called(section, nano.lr_scheduler_builder, given)
    sizes = [tokens.whole(name, None, "budget") for name in ("micro_batch_size", "batch_accumulation_per_replica")]
    sizes.append(keys.section("parallelism").whole("dp", None, "budget"))
    if None not in sizes:
        found.budget["samples_per_step"] = math.prod(sizes)
        if (length := tokens.whole("sequence_length", None, "budget: tokens_per_step")) is not None:
            found.budget["tokens_per_step"] = math.prod(sizes) * length
    where = factory if factory.content else optimizer
    name = factory.get("name", "adamW", "optimizer")
    rule = {"betas": (where.real("adam_beta1", None, "optimizer"), where.real("adam_beta2", None, "optimizer"))}
    rule |= {
        "eps": where.real("adam_eps", None, "optimizer"),
        "weight_decay": optimizer.real("weight_decay", None, "optimizer"),
    }
    if None in rule["betas"]:
        rule.pop("betas")
    put_rule(found, factory, "name", name, rule, optimizer.real("clip_grad", None, "optimizer: ClipByGlobalNorm"))
    return found


_FOUNDRY: dict[str, Callable[..., Schedule]] = {
    "constant_with_warmup": composer.ConstantWithWarmupScheduler,
    "cosine_with_warmup": composer.CosineAnnealingWithWarmupScheduler,
    "linear_decay_with_warmup": composer.LinearWithWarmupScheduler,
    "inv_sqrt_with_warmup": llmfoundry.InverseSquareRootWithWarmupScheduler,
}


def looks_foundry(keys: Keys) -> bool:
    """Return whether this is a configuration of llm-foundry."""
    return keys.has("max_duration", "scheduler.name") and "optimizer.learning_rate" not in keys


def read_foundry(keys: Keys) -> Found:
    """Read a configuration of llm-foundry, whose Trainer is Composer's."""
    found, given = Found(), keys.journal.given
    sched, optimizer = keys.section("scheduler"), keys.section("optimizer")
    function = named(sched, "name", _FOUNDRY)
    arguments = {key: sched.get(key, None, "lr") for key in sched if key != "name"}
    lr = optimizer.real("lr", None, "lr: the highest rate")
    duration = str(keys.get("max_duration", None, "budget: steps"))
    arguments |= {"lr": lr, "max_duration": duration, "dataloader_len": given.steps_per_epoch}
    try:
        found.schedules["lr"] = called(sched, function, arguments)
    except ValueError as error:
        if "dataloader_len" in str(error):
            raise keys.missing("where lengths are in epochs", "steps_per_epoch") from None
        raise
    if duration.endswith("ba"):
        found.budget["steps"] = int(float(duration[:-2]))
    elif duration.endswith("ep") and given.steps_per_epoch:
        found.budget["steps"] = round(float(duration[:-2]) * given.steps_per_epoch)
    size, length = keys.whole("global_train_batch_size", None, "budget", low=1), keys.get("max_seq_len", None, "budget")
    if size is not None:
        found.budget["samples_per_step"] = size
        if length is not None:
            found.budget["tokens_per_step"] = size * keys.whole("max_seq_len")
    clip = keys.section("algorithms.gradient_clipping")
    norm = clip.real("clipping_threshold", None, "optimizer: ClipByGlobalNorm")
    if norm is not None and clip.get("clipping_type", None, "optimizer") != "norm":
        clip.unread("clipping_type", "a clipping for which there is no part here")
        return found
    rule = {
        "betas": optimizer.get("betas", (0.9, 0.95), "optimizer", BETAS),
        "eps": optimizer.real("eps", 1e-8, "optimizer"),
    }
    decay = optimizer.real("weight_decay", 1e-5, "optimizer: relative to the highest rate")
    # Its decay is a part of the parameter at the highest rate, and PyTorch's that times the rate.
    rule["weight_decay"] = decay / lr if lr else 0.0
    name = optimizer.get("name", None, "optimizer")
    put_rule(found, optimizer, "name", "adamw" if name == "decoupled_adamw" else f"{name}", rule, norm)
    return found
