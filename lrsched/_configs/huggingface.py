"""The Trainer of Hugging Face, and the tools around it: TRL, LLaMA-Factory, axolotl, DeepSpeed.

Read in transformers 5.23.0, training_args.py, trainer.py, trainer_optimizer.py and integrations/deepspeed.py;
axolotl at 067b021 (2026-07-24), core/builders/base.py, core/trainers/mixins; LLaMA-Factory at ff6d4d1 (2026-08-18),
train/trainer_utils.py, hparams/finetuning_args.py.
"""

import math
from collections.abc import Mapping
from typing import Any

from lrsched._configs.keys import Found, Keys, called
from lrsched._configs.updates import put_rule
from lrsched._curves import Constant, Hold, Schedule
from lrsched.compat import deepspeed, torch, transformers

_ADAM = ("adamw", "adamax", "nadam", "radam")
_SCHEDULE = ("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "warmup_ratio")
# Arguments of TRL's configurations, which have learning rates of their own by default.
_OF_TRL = ("beta", "num_generations", "max_prompt_length", "dataset_mixer", "packing", "loss_type", "max_seq_length")


def updates(keys: Keys, found: Found, epochs: str, default: float) -> int | None:
    """Return the updates of the run: those of the file, or what the budget makes of its epochs."""
    told = keys.whole("max_steps", None, "budget: steps", low=-1)
    given = keys.journal.given
    if told is not None and told > 0:
        keys.unread(epochs, "max_steps comes first")
        found.budget["steps"] = told
        return int(told)
    count = keys.real(epochs, default, "budget: steps" if given.steps is None else "left to the budget")
    if given.steps is None and given.steps_per_epoch is not None:
        found.budget["steps"] = math.ceil(count * given.steps_per_epoch)
    steps: int | None = found.budget.get("steps", given.steps)
    return steps


def read_transformers(keys: Keys) -> Found:
    """Read `TrainingArguments`, with those of TRL and LLaMA-Factory around them."""
    found = Found()
    if "log_history" in keys:
        keys.refuse("log_history", "be the arguments of a training: a trainer's state tells the rates that were")
    if "learning_rate" not in keys and any(keys.has(name) for name in _OF_TRL):
        raise ValueError(
            f"{keys.journal.document.name}: learning_rate must be given: the trainers of TRL have defaults of their own"
        )
    lr = keys.real("learning_rate", 5e-5, "lr: the highest rate")
    steps = updates(keys, found, "num_train_epochs", 3.0)
    engine = keys.raw("deepspeed")
    inner = keys.section("deepspeed") if isinstance(engine, Mapping) else None
    if isinstance(engine, str):
        keys.unread("deepspeed", "a file of its own: a scheduler or optimizer in it takes the place of these")
    if inner is not None and "scheduler" in inner:
        found.schedules["lr"] = _engine(keys, inner, lr, steps)
    else:
        found.schedules["lr"] = _trainer(keys, lr, steps)
    _batches(keys, found, "per_device_train_batch_size")
    if inner is not None and "optimizer" in inner:
        keys.unread("optim", "the optimizer of DeepSpeed takes its place")
        betas = [keys.real("adam_beta1", 0.9, "optimizer"), keys.real("adam_beta2", 0.999, "optimizer")]
        auto = {
            "lr": lr,
            "betas": betas,
            "eps": keys.real("adam_epsilon", 1e-8),
            "weight_decay": keys.real("weight_decay", 0.0),
        }
        _engine_rule(inner, found, auto, keys.real("max_grad_norm", 1.0, "optimizer: ClipByGlobalNorm"))
        return found
    name = keys.get("optim", "adamw_torch_fused", "optimizer")
    clip = keys.real("max_grad_norm", 1.0, "optimizer: ClipByGlobalNorm")
    put_rule(found, keys, "optim", name, _arguments(keys, str(name)), clip)
    ratio = keys.real("loraplus_lr_ratio", None, "lr[lora_B]: times lr")
    if ratio is not None:
        found.schedules["lr[lora_B]"] = found.schedules["lr"] * ratio
        rate = keys.real("loraplus_lr_embedding", 1e-6, "lr[lora_embedding_B]")
        found.schedules["lr[lora_embedding_B]"] = _at(found.schedules["lr"], lr, rate)
    return found


def _at(schedule: Schedule, lr: float, rate: float) -> Schedule:
    """Return the schedule of a group with a rate of its own."""
    return schedule * (rate / lr) if lr else schedule


def _arguments(keys: Keys, name: str) -> dict[str, Any]:
    """Return the arguments that the Trainer gives to PyTorch's optimizer."""
    given: dict[str, Any] = {"weight_decay": keys.real("weight_decay", 0.0, "optimizer, but for biases and norms")}
    if name.lower().startswith(_ADAM):
        given["betas"] = (keys.real("adam_beta1", 0.9, "optimizer"), keys.real("adam_beta2", 0.999, "optimizer"))
        given["eps"] = keys.real("adam_epsilon", 1e-8, "optimizer")
    pairs = keys.get("optim_args", None, "optimizer")
    if isinstance(pairs, str):
        pairs = dict(pair.strip().split("=", 1) for pair in pairs.split(",") if "=" in pair)
    return given | {str(key).strip(): value for key, value in (pairs or {}).items()}


def _trainer(keys: Keys, lr: float, steps: int | None, **given: Any) -> Schedule:
    """Return the schedule of the Trainer itself."""
    for name in _SCHEDULE[1:]:
        if name not in given:
            rule = "linear" if name == "lr_scheduler_type" else None
            found = keys.get(name, rule, "lr")
            given |= {name: found} if found is not None else {}
    try:
        built: Schedule = called(keys, transformers.from_config, {
            "config": {"learning_rate": lr, **given}, "num_training_steps": steps,
        })  # fmt: skip
    except ValueError as error:
        if "num_training_steps" in str(error):
            raise keys.missing("where max_steps does not tell the updates") from None
        raise
    return built


def _batches(keys: Keys, found: Found, name: str) -> None:
    """Note what of the samples of an update is known: all but the number of devices."""
    for part in (name, "gradient_accumulation_steps"):
        keys.unread(part, "the samples of an update are this times the devices, which no file tells")


def _engine(keys: Keys, inner: Keys, lr: float, steps: int | None) -> Schedule:
    """Return DeepSpeed's schedule, in which the Trainer has replaced "auto"."""
    filled: dict[str, Any] = {"warmup_min_lr": 0, "warmup_max_lr": lr, "total_num_steps": steps, "lr": lr}
    part = keys.real("warmup_steps", 0.0, "what 'auto' stands for") or keys.real("warmup_ratio", 0.0) or 0.0
    if part < 1 and part and steps is None:
        raise keys.missing("where the warm-up is a part of the run")
    filled["warmup_num_steps"] = int(part) if part >= 1 else math.ceil((steps or 0) * part)
    for name in ("lr_scheduler_type", "lr_scheduler_kwargs"):
        keys.unread(name, "the scheduler of DeepSpeed takes its place")
    return _deepspeed(inner, filled)


def _deepspeed(keys: Keys, filled: Mapping[str, Any]) -> Schedule:
    section, name = keys.section("scheduler"), keys.section("scheduler").get("type", None, "lr")
    values = section.section("params")
    params: dict[str, Any] = {}
    for key in values:
        value = values.get(key, None, f"lr: {filled[key]!r}" if values.raw(key) == "auto" and key in filled else "lr")
        if value == "auto":
            value = filled.get(key)
            if value is None and key == "total_num_steps":
                raise keys.missing("where total_num_steps is 'auto'", "steps")
            if value is None:
                why = "written out: 'auto' is what the arguments of the Hugging Face Trainer say, which are not here"
                values.refuse(key, f"be {why}")
        params[key] = value
    config = {"type": name, "params": params}
    built: Schedule = called(section, deepspeed.from_config, {"config": config, "lr": filled.get("lr")})
    return built


def read_deepspeed(keys: Keys) -> Found:
    """Read a DeepSpeed configuration alone."""
    found = Found()
    optimizer = keys.section("optimizer")
    params = optimizer.section("params")
    lr = params.get("lr", None, "lr: the highest rate")
    known: dict[str, Any] = {"warmup_min_lr": 0, "total_num_steps": keys.journal.given.steps}
    if lr not in (None, "auto"):
        known |= {"lr": params.real("lr"), "warmup_max_lr": params.real("lr")}
    if "scheduler" in keys:
        found.schedules["lr"] = _deepspeed(keys, known)
    elif "lr" in known:
        found.schedules["lr"] = Constant(known["lr"])
    samples = keys.get("train_batch_size", None, "budget: samples_per_step")
    if samples not in (None, "auto"):
        found.budget["samples_per_step"] = keys.whole("train_batch_size", low=1)
    _engine_rule(keys, found, {}, "auto")
    return found


def _engine_rule(keys: Keys, found: Found, filled: Mapping[str, Any], clip: Any) -> None:
    """Set the rule of the section "optimizer", in which "auto" stands for what is `filled` in, if that is known."""
    own = keys.get("gradient_clipping", None, "optimizer: ClipByGlobalNorm")
    clip = clip if own == "auto" else own
    optimizer = keys.section("optimizer")
    name = optimizer.get("type", None, "optimizer")
    if name is None:
        return
    params = optimizer.section("params")
    given = {key: params.get(key, None, "optimizer") for key in params if key not in ("lr", "torch_adam")}
    given |= {key: filled.get(key, "auto") for key, value in given.items() if value == "auto"}
    unknown = [key for key, value in [*given.items(), ("gradient_clipping", clip)] if value == "auto"]
    if unknown:
        optimizer.unread("type", f"{', '.join(unknown)} is 'auto'")
        return
    # FusedAdam is AdamW unless it is told otherwise.
    decoupled = str(name).lower() == "adam" and params.flag("adam_w_mode", True)
    given = {key: value for key, value in given.items() if key not in ("adam_w_mode", "bias_correction")}
    if not params.flag("torch_adam"):  # DeepSpeed's own has no weight decay by default
        given.setdefault("weight_decay", 0.0)
    put_rule(found, optimizer, "type", "adamw" if decoupled else name, given, clip)


def read_axolotl(keys: Keys) -> Found:
    """Read the configuration of axolotl."""
    found = Found()
    for name in ("lr_quadratic_warmup", "jagged_restart_steps"):
        if keys.raw(name):
            keys.refuse(name, "be left out: this curve of axolotl's own is not read")
    if "learning_rate" not in keys:
        raise ValueError(f"{keys.journal.document.name}: learning_rate must be given: axolotl has no default")
    lr = keys.real("learning_rate", None, "lr: the highest rate")
    steps = updates(keys, found, "num_epochs", 1.0)
    if steps is None:
        raise keys.missing("where max_steps does not tell the updates")
    found.schedules["lr"] = schedule = _axolotl(keys, lr, steps)
    _batches(keys, found, "micro_batch_size")
    name = keys.get("optimizer", "adamw_torch_fused", "optimizer")
    clip = keys.real("max_grad_norm", 1.0, "optimizer: ClipByGlobalNorm")
    put_rule(found, keys, "optimizer", name, _arguments(keys, str(name)), clip)
    scale = keys.real("embedding_lr_scale", None, "lr[embeddings]: times lr")
    rate = keys.real("embedding_lr", None, "lr[embeddings]")
    if scale or rate:
        found.schedules["lr[embeddings]"] = schedule * scale if scale else _at(schedule, lr, rate)
    for group in keys.sections("lr_groups"):
        name = group.get("name", "", "the name of a group")
        rate = group.real("lr", None, f"lr[{name}]")
        if rate is None:
            group.refuse("lr", "be given")
        found.schedules[f"lr[{name}]"] = _at(schedule, lr, rate)
    return found


def _axolotl(keys: Keys, lr: float, steps: int) -> Schedule:
    ratio = keys.real("warmup_ratio", None, "lr: the warm-up")
    warmup = keys.real("warmup_steps", None, "lr: the warm-up")
    if warmup is None:
        warmup = min(int(0.03 * steps), 100) if ratio is None else int(ratio * steps)
        keys.journal.notes.append(keys.note(f"warm-up of {warmup} updates of {steps}"))
    warmup = 2 if warmup == 1 else math.ceil(warmup * steps) if warmup < 1 else int(warmup)
    kind = keys.get("lr_scheduler", "cosine", "lr")
    more = keys.get("lr_scheduler_kwargs", None, "lr") or {}
    low = keys.real("cosine_min_lr_ratio", None, "lr: the lowest rate, as a part of the highest")
    if kind == "rex":
        keys.refuse("lr_scheduler", "be one of those of transformers, or one_cycle; this of axolotl's own is not read")
    if kind == "one_cycle":
        given = {"max_lr": lr, "total_steps": steps, "pct_start": warmup / steps, "anneal_strategy": "cos", **more}
        built: Schedule = called(keys, torch.OneCycleLR, given, "lr_scheduler")
        return built
    if kind != "cosine" or not low:
        if low:
            keys.unread("cosine_min_lr_ratio", f"axolotl does not use it for {kind}")
        return _trainer(keys, lr, steps, lr_scheduler_type=kind, warmup_steps=warmup, lr_scheduler_kwargs=more,
                        warmup_ratio=None)  # fmt: skip
    part = keys.real("cosine_constant_lr_ratio", None, "lr: the part of the run after which the lowest rate holds")
    end = int(steps * part) if part else steps
    given = {"lr": lr, "num_warmup_steps": warmup, "num_training_steps": end, "min_lr_rate": low}
    wave: Schedule = called(keys, transformers.get_cosine_with_min_lr_schedule_with_warmup, given, "lr_scheduler")
    return Hold(wave, end) if part else wave
