"""`read_config`: a whole configuration of a trainer as schedules, a rule and a budget."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lrsched._configs import huggingface, olmo, pretraining, vision
from lrsched._configs.document import Document, configuration_of, read_document
from lrsched._configs.keys import Found, Journal, Keys, Note, leftover
from lrsched._core.check import short
from lrsched._core.config import from_config
from lrsched._core.parse import parse_value
from lrsched._curves import Budget, Schedule, Template
from lrsched.arguments import must
from lrsched.rules import Rule


class ConfigFormat(NamedTuple):
    """A kind of configuration: whose it is, how it is recognised, and what reads it."""

    title: str
    looks: Callable[[Keys], bool]
    read: Callable[[Keys], Found]


@dataclass(frozen=True)
class Reading:
    """What a configuration says of schedules, update rule and length of a run.

    Attributes:
        format: the name of its format, as `read_config(format=...)` has it.
        schedules: the schedules by what they schedule: "lr", and where there are such "momentum", "weight_decay",
            "batch_size" and "lr[name]", the rate of a parameter group with that name.
        optimizer: the update rule, its clipping of gradients included, or None where there is no such rule here, or
            none in the file; it has no rate of its own.
        budget: the length of the run, as far as it is known.
        source: the name of the file.
        notes: each entry that was read, and what it became; `line` is None for what has no line.
        unused: each entry that looks like one about a schedule and was not used, and why.
    """

    format: str
    schedules: Mapping[str, Schedule]
    optimizer: Rule | None
    budget: Budget
    source: str = "config"
    notes: tuple[Note, ...] = ()
    unused: tuple[Note, ...] = ()

    def explain(self) -> str:
        """Return a text: each line of the file that mattered and what it became, each that did not, and the results."""
        rows = [*self.notes, *self.unused]
        wide = [max(map(len, column), default=0) for column in ([n.key for n in rows], [n.value for n in rows])]
        heads = [f"{self.source}: {FORMATS[self.format].title}", *self._told(self.notes, wide)]
        if self.unused:
            heads += ["not used:", *self._told(self.unused, wide)]
        results: dict[str, Any] = {**self.schedules, "optimizer": self.optimizer, "budget": self.budget}
        name = max(map(len, results))
        return "\n".join([*heads, "so:", *(f"  {key:<{name}}  {value}" for key, value in results.items())])

    @staticmethod
    def _told(notes: tuple[Note, ...], wide: list[int]) -> list[str]:
        return [f"  {n.line or '-':>4}  {n.key:<{wide[0]}}  {n.value:<{wide[1]}}  {n.became}".rstrip() for n in notes]


def _ours(keys: Keys) -> Found:
    value = from_config(keys.content)
    keys.journal.read.update([(name,) for name in keys.content])
    return found_of(value, keys.journal)


def found_of(value: Any, journal: Journal) -> Found:
    """Return what one value of this library says."""
    if isinstance(value, Template):
        value = value.build(journal.given)
    if isinstance(value, Rule):
        return Found(optimizer=value)
    if isinstance(value, Budget):
        fields = ("steps", "steps_per_epoch", "tokens_per_step", "samples_per_step")
        return Found(budget={name: getattr(value, name) for name in fields})
    if not isinstance(value, Schedule):
        raise ValueError(f"{journal.document.name} must hold a schedule, a rule or a budget, got {short(value)}")
    return Found({"lr": value})


def _transformers(keys: Keys) -> bool:
    telling = ("per_device_train_batch_size", "num_train_epochs", "lr_scheduler_type", "output_dir")
    return "log_history" in keys or (
        (any(name in keys for name in telling) or isinstance(keys.raw("optim"), str)) and not _around(keys)
    )


def _around(keys: Keys) -> bool:
    return _llamafactory(keys) or _axolotl(keys)


def _llamafactory(keys: Keys) -> bool:
    return "finetuning_type" in keys or keys.has("stage", "model_name_or_path")


def _axolotl(keys: Keys) -> bool:
    return "base_model" in keys and any(name in keys for name in ("micro_batch_size", "num_epochs", "lr_scheduler"))


def _deepspeed(keys: Keys) -> bool:
    named = any(isinstance(keys.raw(f"{name}.params"), Mapping) for name in ("scheduler", "optimizer"))
    engine = any(name in keys for name in ("zero_optimization", "train_micro_batch_size_per_gpu"))
    return (named or engine) and not pretraining.looks_neox(keys) and "per_device_train_batch_size" not in keys


FORMATS: dict[str, ConfigFormat] = {
    "lrsched": ConfigFormat("a value of lrsched", lambda keys: keys.has("format", "type"), _ours),
    "transformers": ConfigFormat(
        "TrainingArguments of transformers, and TRL", _transformers, huggingface.read_transformers
    ),
    "llamafactory": ConfigFormat("LLaMA-Factory", _llamafactory, huggingface.read_transformers),
    "axolotl": ConfigFormat("axolotl", _axolotl, huggingface.read_axolotl),
    "deepspeed": ConfigFormat("DeepSpeed", _deepspeed, huggingface.read_deepspeed),
    "torchtitan": ConfigFormat("torchtitan", pretraining.looks_torchtitan, pretraining.read_torchtitan),
    "nemo": ConfigFormat("NeMo", pretraining.looks_nemo, pretraining.read_nemo),
    "megatron": ConfigFormat("arguments of Megatron-LM", pretraining.looks_megatron, pretraining.read_megatron),
    "gpt_neox": ConfigFormat("GPT-NeoX", pretraining.looks_neox, pretraining.read_neox),
    "olmo": ConfigFormat("OLMo", olmo.looks_olmo, olmo.read_olmo),
    "olmo_core": ConfigFormat("OLMo-core", lambda keys: "train_module" in keys, olmo.read_olmo_core),
    "llmfoundry": ConfigFormat("llm-foundry", pretraining.looks_foundry, pretraining.read_foundry),
    "nanotron": ConfigFormat(
        "nanotron", lambda keys: keys.has("optimizer.learning_rate_scheduler"), pretraining.read_nanotron
    ),
    "detectron2": ConfigFormat("detectron2", lambda keys: "SOLVER" in keys, vision.read_detectron2),
    "mmengine": ConfigFormat("MMEngine", vision.looks_mmengine, vision.read_mmengine),
    "fairseq": ConfigFormat("fairseq", vision.looks_fairseq, vision.read_fairseq),
    "diffusers": ConfigFormat("a script of diffusers", vision.looks_diffusers, vision.read_diffusers),
    "timm": ConfigFormat("train.py of timm", vision.looks_timm, vision.read_timm),
}


def read_config(path_or_mapping: Any, *, format: str | None = None, budget: Budget | None = None) -> Reading:
    """Read the configuration of a training: its schedules, update rule and length.

    Of a trainer's own file, as it is: YAML (with PyYAML), TOML, JSON, a Python file of assignments, or the arguments
    of a command line, also in a shell script. Nothing of it is run. What an entry leaves out has the default of the
    trainer's source, and the values are those of `lrsched.compat`. `docs/configs.md` lists the formats and their keys.

    Args:
        path_or_mapping: the path of a file, a dictionary, or a list of arguments such as `["--lr", "1e-4"]`.
        format: the name of the format, where it is not to be recognised by its keys.
        budget: what the file does not tell, such as the updates of a run whose epochs are given. What it tells must
            not differ.

    Returns:
        The schedules, the rule and the budget; `explain()` says what each line has become.

    Raises:
        TypeError: an entry is of the wrong kind, or looks like a misspelling of one that is not there.
        ValueError: the format is unknown or ambiguous, a value is out of range, something is needed that neither the
            file nor the budget tells, or a curve is not known here; the message names the entry and its line.
        OSError: the file cannot be read.

    Examples:
        >>> config = {"learning_rate": 2e-5, "lr_scheduler_type": "cosine", "warmup_ratio": 0.1, "num_train_epochs": 3}
        >>> reading = read_config(config, budget=Budget(steps_per_epoch=500))
        >>> reading.schedules["lr"]
        Linear(0.0, 2e-05, steps=150) >> Extend(Cosine(2e-05, 0.0, steps=1350))
        >>> reading.budget
        Budget(steps=1500, steps_per_epoch=500)
    """
    given: Any = format
    known = given is None or (isinstance(given, str) and given in FORMATS)
    must(known, "read_config(format=...)", f"one of {', '.join(FORMATS)}", given)
    if budget is not None and not isinstance(budget, Budget):
        raise TypeError(f"read_config(budget=...) must be a Budget, got {short(budget)}")
    return read_source(path_or_mapping, format, budget or Budget(), strict=True)


def read_source(source: Any, format: str | None, budget: Budget, strict: bool) -> Reading:
    """Return what `read_config` does; unless `strict`, what the file tells comes before the budget."""
    if isinstance(source, str | Path) and format in (None, "lrsched"):
        text = configuration_of(Path(source))
        if (format == "lrsched" and not text.lstrip().startswith("{")) or re.match(r"\s*[A-Za-z_]\w*\(", text):
            journal = Journal(Document(Path(source).name, {}), budget)
            return _reading("lrsched", journal, found_of(parse_value(text, "schedule"), journal), strict)
    journal = Journal(read_document(source), budget)
    keys = Keys(journal, journal.document.content)
    name = format or recognised(Keys(Journal(journal.document, budget), keys.content))
    document = journal.document.name
    try:
        found = FORMATS[name].read(keys)
        leftover(journal)
        return _reading(name, journal, found, strict)
    except (TypeError, ValueError) as error:
        if str(error).startswith((document, "read_config(")):
            raise
        raise type(error)(f"{document}: {error}") from None
    except OverflowError as error:
        raise ValueError(f"{document} must hold numbers of bearable size: {error}") from None


def _reading(name: str, journal: Journal, found: Found, strict: bool) -> Reading:
    known = {key: value for key, value in vars(journal.given).items() if not key.startswith("_") and value is not None}
    for key, value in found.budget.items():
        told = value is None or known.get(key) in (None, value)
        must(
            told or not strict, f"read_config(budget=Budget({key}=...))", f"{value}, as the file has it", known.get(key)
        )
    budget = Budget(**{**known, **{key: value for key, value in found.budget.items() if value is not None}})
    schedules = MappingProxyType(found.schedules)
    lists = [_in_order(journal.notes), _in_order(journal.unused)]
    return Reading(name, schedules, found.optimizer, budget, journal.document.name, *lists)


def _in_order(notes: list[Note]) -> tuple[Note, ...]:
    """Return notes by their lines, those without one last, and what one entry became in one note."""
    became: dict[Note, dict[str, None]] = {}
    for note in notes:
        became.setdefault(note._replace(became=""), {})[note.became] = None
    joined = [note._replace(became="; ".join(filter(None, told))) for note, told in became.items()]
    return tuple(sorted(joined, key=lambda note: (note.line is None, note.line)))


def recognised(keys: Keys) -> str:
    """Return the name of the format that a configuration is in.

    Raises:
        ValueError: it looks like none, or like several.
    """
    names = [name for name, form in FORMATS.items() if form.looks(keys)]
    document = keys.journal.document
    if len(names) == 1:
        return names[0]
    if names:
        raise ValueError(f"{document.name} looks like {' and '.join(names)}: say which by format=...")
    got = ", ".join(map(repr, list(keys.content)[:6]))
    known = ", ".join(FORMATS)
    raise ValueError(f"{document.name} must be in a known format, one of {known}, or read with format=..., got {got}")
