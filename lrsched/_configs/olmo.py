"""The trainers of OLMo: the first one, and OLMo-core.

Read in OLMo at 59a53e3 (2025-09-04), optim.py, config.py and train.py; OLMo-core 3.0.0, train/config.py, optim.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

from lrsched._configs.keys import Found, Keys, called
from lrsched._configs.pretraining import BETAS, named
from lrsched._configs.updates import put_rule
from lrsched._core.names import closest
from lrsched._curves import Constant, Maximum, Schedule
from lrsched.compat import olmo_core


def looks_olmo(keys: Keys) -> bool:
    """Return whether this is a configuration of OLMo, before OLMo-core."""
    return keys.has("scheduler.name", "optimizer.learning_rate")


_OLMO: dict[str, Callable[..., Schedule]] = {
    "cosine_with_warmup": olmo_core.CosWithWarmup,
    "linear_with_warmup": olmo_core.LinearWithWarmup,
    "inverse_sqrt_with_warmup": olmo_core.InvSqrtWithWarmup,
    "max_scheduler": Maximum,
    "constant": olmo_core.ConstantScheduler,
    "constant_with_warmup": olmo_core.ConstantWithWarmup,
}


def read_olmo(keys: Keys) -> Found:
    """Read a configuration of OLMo: a length may be `2e12T`, tokens, and those of the scheduler tokens or steps."""
    found = Found()
    optimizer, sched = keys.section("optimizer"), keys.section("scheduler")
    lr = optimizer.real("learning_rate", 1e-4, "lr: the highest rate")
    batch = keys.whole("global_train_batch_size", None, "budget: samples_per_step", low=1)
    length = keys.section("model").whole("max_sequence_length", None, "budget: tokens_per_step", low=1)
    size = batch * length if batch and length else keys.journal.given.tokens_per_step
    if batch and length:
        found.budget |= {"samples_per_step": batch, "tokens_per_step": size}
    steps, tokens = _olmo_run(keys, found, size)
    units = sched.get("units", "steps", "lr: what its lengths count")
    end = tokens if units == "tokens" else steps
    if units == "tokens" and size is None:
        raise keys.missing(
            "where units is tokens, or global_train_batch_size and max_sequence_length", "tokens_per_step"
        )
    function = named(sched, "name", _OLMO, "cosine_with_warmup")
    warmup = int(sched.real("t_warmup", 100, "lr: the warm-up"))
    last = sched.real("t_max", None, "lr: the end of the decay")
    given = {
        "lr": lr,
        "t_max": end if last is None else int(last),
        "warmup": warmup,
        "alpha_f": sched.real("alpha_f", 0.1, "lr: the lowest rate, as a part of the highest"),
        "warmup_min_lr": sched.real("warmup_min_lr", lr * 0.1, "lr: the first rate"),
        "units": units,
        "tokens_per_step": size if units == "tokens" else None,
    }
    parts = [function] if function is not Maximum else [olmo_core.CosWithWarmup, olmo_core.InvSqrtWithWarmup]
    built = [_olmo(sched, part, given, end) for part in parts]
    found.schedules["lr"] = built[0] if len(built) == 1 else Maximum(tuple(built))
    for name in ("grad_clip_warmup_steps", "grad_clip_warmup_factor"):
        sched.unread(name, "the clipping of the first updates is not read")
    rule = {
        "betas": optimizer.get("betas", (0.9, 0.95), "optimizer", BETAS),
        "eps": optimizer.real("eps", 1e-5, "optimizer"),
    }
    rule["weight_decay"] = optimizer.real("weight_decay", 0.01, "optimizer, but for biases, norms and embeddings")
    clip = keys.real("max_grad_norm", None, "optimizer: ClipByGlobalNorm")
    put_rule(found, optimizer, "name", optimizer.get("name", "lionw", "optimizer"), rule, clip)
    return found


def _olmo(sched: Keys, function: Callable[..., Schedule], given: dict[str, Any], end: int | None) -> Schedule:
    known = inspect.signature(function).parameters
    if function is olmo_core.ConstantWithWarmup and given["warmup"] == 0:
        return Constant(given["lr"])
    arguments = {key: value for key, value in given.items() if key in known}
    if function is olmo_core.InvSqrtWithWarmup:
        arguments |= {"alpha_f": 0.0, "t_max": end}
    if function is olmo_core.ConstantScheduler:
        arguments = {"lr": given["lr"]}
    built: Schedule = called(sched, function, arguments)
    return built


def _olmo_run(keys: Keys, found: Found, size: Any) -> tuple[int | None, int | None]:
    """Return the updates and the tokens of a run, as far as they are known."""
    told, given = keys.get("max_duration", 10_000, "budget: steps"), keys.journal.given
    text = str(told).strip()
    try:
        if text.endswith("ep"):
            count = None if given.steps_per_epoch is None else int(text[:-2]) * given.steps_per_epoch
            steps = given.steps if count is None else count
            if steps is None:
                raise keys.missing(f"where max_duration is {text}")
        elif text.endswith("T"):
            tokens = int(float(text[:-1]))
            steps = None if size is None else math.ceil(tokens / size)
            found.budget |= {} if steps is None else {"steps": steps}
            return steps or given.steps, tokens
        else:
            steps = int(float(text))
    except (OverflowError, ValueError) as error:
        if "Budget" in str(error):
            raise
        keys.refuse("max_duration", "be updates, or a text such as 2e12T (tokens) or 1ep")
    found.budget["steps"] = steps
    return steps, None if size is None else steps * size


def read_olmo_core(keys: Keys) -> Found:
    """Read the saved configuration of OLMo-core."""
    found = Found()
    module, trainer = keys.section("train_module"), keys.section("trainer")
    optim, sched = module.section("optim"), module.section("scheduler")
    size = keys.section("data_loader").whole("global_batch_size", None, "budget: tokens_per_step", low=1)
    if size is not None:
        found.budget["tokens_per_step"] = size
    size = size or keys.journal.given.tokens_per_step
    duration = trainer.section("max_duration")
    steps, tokens = _core_run(duration, found, size)
    known = {name: getattr(olmo_core, name) for name in olmo_core.__all__}
    name = str(sched.raw("_CLASS_") or "ConstantScheduler").rpartition(".")[2]
    if name not in known:
        near = " or ".join(map(repr, closest(name, list(known))))
        sched.refuse("_CLASS_", f"be the class of a scheduler, such as {near}")
    sched.get("_CLASS_", None, "lr")
    given = {key: sched.get(key, None, "lr") for key in sched if key != "_CLASS_" and not key.startswith("lr_field")}
    given = {{"warmup_steps": "warmup", "decay_steps": "decay"}.get(key, key): value for key, value in given.items()}
    given["lr"] = optim.real("lr", 1e-3, "lr: the highest rate")
    given.pop("initial_lr_field", None)
    end = tokens if given.get("units") == "tokens" else steps
    parameters = inspect.signature(known[name]).parameters
    if "cosine_t_max" in parameters:
        given["cosine_t_max"] = given.pop("t_max", None)
    if "t_max" in parameters and given.get("t_max") is None:
        if end is None:
            raise keys.missing("where the run is not given in what the scheduler counts", "steps", "tokens_per_step")
        given["t_max"] = end
    if given.get("units") == "tokens":
        given["tokens_per_step"] = size
    if "decay" in given and given["decay"] is not None:
        given.setdefault("decay_fraction", None)
        found.schedules["lr"] = (
            known[name](**given) if given["decay_fraction"] is None else called(sched, known[name], given)
        )
    else:
        found.schedules["lr"] = called(sched, known[name], given)
    rule = {"betas": optim.get("betas", (0.9, 0.999), "optimizer", BETAS), "eps": optim.real("eps", 1e-8, "optimizer")}
    rule["weight_decay"] = optim.real("weight_decay", 0.01, "optimizer")
    kind = str(optim.get("_CLASS_", "AdamWConfig", "optimizer")).rpartition(".")[2].removesuffix("Config")
    clip = module.real("max_grad_norm", None, "optimizer: ClipByGlobalNorm")
    if "group_overrides" in optim:
        optim.unread("group_overrides", "options of some parameters")
    put_rule(found, optim, "_CLASS_", kind, rule, clip)
    return found


def _core_run(duration: Keys, found: Found, size: Any) -> tuple[int | None, int | None]:
    value, unit = duration.whole("value", None, "budget: steps"), duration.get("unit", None, "budget: steps")
    given = duration.journal.given
    if value is None or unit not in ("steps", "tokens"):
        count = value * given.steps_per_epoch if value and given.steps_per_epoch else given.steps
        return count, None if size is None or count is None else count * size
    if unit == "steps":
        found.budget["steps"] = value
        return value, None if size is None else value * size
    steps = None if size is None else math.ceil(value / size)
    found.budget |= {} if steps is None else {"steps": steps}
    return steps, value
