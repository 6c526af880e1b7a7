"""Texts, configurations and command lines that are nearly right, as a seed draws them."""

import random
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

from lrsched import Schedule, compat
from lrsched._core.offers import CLASSES
from lrsched._curves import is_pending

NUMBERS = (
    *("0", "1", "2", "3", "0.5", "1e-3", "10", "100", "1_000", "1.0004", "0.1", "1e308", "1e-308", "5e-324"),
    *("9007199254740992", "9007199254740993", "1e16", "-1", "-0.0", "1e999", "2.5", "0x10", "9" * 30, "1.0000000001"),
)
TOKENS = (
    *(" >> ", " * ", " + ", " ** ", " - ", " / ", "(", ")", "[", "]", ",", "=", "steps=", "'", '"', "\\", "#", "\n"),
    *("None", "True", "lambda: 0", "canary(1)", "*", "**", "for x in", ".", ":=", "@", "\x00", "é", "0_", "1e"),
)


def number(rng: random.Random) -> str:
    """Return a number as it is written."""
    return rng.choice(NUMBERS) if rng.random() < 0.6 else repr(rng.choice([rng.random(), rng.randint(0, 500)]))


def _argument(rng: random.Random, annotation: str, depth: int) -> str:
    if rng.random() < 0.01:
        return rng.choice(["None", "True", "'linear'", "'x'", "()", "(1, 2)", "[0.1]", "nan"])
    if "tuple" in annotation:
        one = expression if "Schedule" in annotation else lambda rng, depth: number(rng)
        return f"({', '.join(one(rng, depth + 1) for _ in range(rng.randint(0, 6)))},)"
    if "Schedule" in annotation or "Ramp" in annotation:
        return expression(rng, depth + 1)
    if "str" in annotation:
        return rng.choice(["'linear'", "'cosine'", "'none'", "'each'", "'once'"])
    if rng.random() < 0.85:
        return (
            str(rng.choice([1, 2, 3, 10, 1000, 2**40])) if "int" in annotation else rng.choice(["0.5", "1", "1.0004"])
        )
    return number(rng)


def expression(rng: random.Random, depth: int = 0) -> str:
    """Return a text that is a schedule, or would be one with other numbers."""
    if depth < 5 and rng.random() < 0.35:
        sides = [expression(rng, depth + 1) if rng.random() < 0.8 else number(rng) for _ in range(rng.randint(2, 4))]
        joined = rng.choice([" >> ", " * ", " + ", " ** "]).join(sides)
        return f"({joined})" if rng.random() < 0.6 else joined
    kind: Any = CLASSES["schedule"][rng.choice(sorted(CLASSES["schedule"]))]
    parts, named = [], False
    for f in kind._arguments:
        if rng.random() < (0.02 if f.default is MISSING else 0.4):
            continue
        named = named or rng.random() < 0.6
        name = f"{f.name}=" if named else ""
        parts.append(name + _argument(rng, str(f.type) if depth < 6 else "float", depth))
    return f"{kind.__name__}({', '.join(parts)})"


def text(rng: random.Random) -> str:
    """Return a text, mostly damaged."""
    found = expression(rng)
    for _ in range(rng.choice([0, 0, 0, 0, 0, 1, 2, 5])):
        at, more = rng.randint(0, len(found)), rng.randint(0, 4)
        piece = rng.choice([rng.choice(TOKENS), number(rng), found[at : at + 9], ""])
        found = found[:at] + piece + found[at + more :]
    return found


ODD = (
    *(None, True, -1, 0, 1, 3, 2.5, 1e4, 1e-300, 1e300, 1e400, float("nan"), 2**53, 2**70, 10**400, "", "x", "1e-3"),
    *(
        "auto",
        "none",
        "canary(1)",
        [],
        [1, 2],
        [[1]],
        {},
        {"type": "Constant", "value": 1.0},
        "linear",
        "(1, 2)",
    ),
)


def damaged(rng: random.Random, content: Any) -> Any:
    """Return a configuration in which some things are others."""
    if rng.random() < 0.06:
        return rng.choice(ODD)
    if isinstance(content, Mapping):
        found = {key: damaged(rng, item) for key, item in content.items() if rng.random() > 0.03}
        if rng.random() < 0.05:
            found[rng.choice(["type", "steps", "lr", "schedule", "warmup_num_steps", "x", "__class__"])] = rng.choice(
                ODD
            )
        return found
    if isinstance(content, list | tuple):
        return [damaged(rng, item) for item in content]
    return content


def survives(use: Callable[[], Any]) -> Any:
    """Return what comes out, or None where it is refused: by a TypeError or ValueError that says something short."""
    said = "nothing was refused"
    try:
        return use()
    except (TypeError, ValueError) as error:
        said = str(error)
    assert 0 < len(said) < 5_000
    return None


def used(found: Any) -> None:
    """Use a schedule in every way that takes no framework."""
    if isinstance(found, Schedule):
        assert found == type(found)(*found._fields())
        assert hash(found) == hash(type(found)(*found._fields()))
        assert len(repr(found)) > 3
        if not is_pending(found):
            for step in (0, 7, [1, 5_000_000], 2**60):
                found(step)


_TRAINER = {
    "learning_rate": 0.1, "lr_scheduler_type": "cosine_with_min_lr", "max_steps": 50, "warmup_ratio": 0.25,
    "lr_scheduler_kwargs": {"min_lr_rate": 0.25, "num_cycles": 1.5}, "weight_decay": 0.1,
}  # fmt: skip
_TITAN = {
    "optimizer": {"param_groups": [{"pattern": ".*", "optimizer_kwargs": {"lr": 0.25, "betas": [0.9, 0.95]}}]},
    "training": {"steps": 39, "local_batch_size": 8},
    "lr_scheduler": {"warmup_steps": 5, "decay_ratio": 0.25, "decay_type": "cosine", "min_lr_factor": 0.5},
}
_SOLVER = {
    "LR_SCHEDULER_NAME": "WarmupMultiStepLR", "MAX_ITER": 1000, "BASE_LR": 0.02, "GAMMA": 0.5, "STEPS": [300, 500],
    "WARMUP_FACTOR": 0.25, "WARMUP_ITERS": 20, "WARMUP_METHOD": "constant", "RESCALE_INTERVAL": True,
}  # fmt: skip
_DECAY = {"total_num_steps": 50, "warmup_min_lr": 0.1, "warmup_max_lr": 0.2, "warmup_num_steps": 3}
_PEAKS = {"init_value": 0.1, "peak_value": 0.2, "warmup_steps": 5, "decay_steps": 30, "end_value": 0.05}
_MM = [
    {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 50},
    {"type": "MultiStepLR", "milestones": [8, 11], "gamma": 0.1, "by_epoch": True, "begin": 0, "end": 12},
]
# Each reader of configurations, with one that it reads.
READERS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "transformers": (compat.transformers.from_config, _TRAINER),
    "torchtitan": (compat.torchtitan.from_config, _TITAN),
    "detectron2": (compat.detectron2.build_lr_scheduler, {"SOLVER": _SOLVER}),
    "deepspeed": (compat.deepspeed.from_config, {"scheduler": {"type": "WarmupDecayLR", "params": _DECAY}}),
    "optax": (compat.optax.sgdr_schedule, [_PEAKS, _PEAKS]),
    "mmengine": (lambda c: compat.mmengine.build_param_schedulers(0.1, c, epoch_length=10, max_epochs=12), _MM),
    "levanter": (
        lambda c: compat.levanter.lr_scheduler(100, **c),
        {"learning_rate": 0.5, "lr_schedule": {"type": "cosine", "exponent": 2.0}, "warmup": 0.1, "cycles": [30, 60]},
    ),
    "allennlp": (
        lambda c: compat.allennlp.combined(0.5, c, 10),
        [(2, {"type": "step", "step_size": 1, "gamma": 0.5}), (2, {"type": "constant"})],
    ),
    "speechbrain": (lambda c: compat.speechbrain.IntervalScheduler(0.5, c), [{"steps": 3, "lr": 0.1}]),
}


def arguments(rng: random.Random) -> list[str]:
    """Return the arguments of a command that ends soon."""
    schedule = rng.choice(["Cosine(3e-4, 0, steps=1000)", "Exponential(1e300, 10)", "Warmup(5)", '{"format": 1}', ""])
    found = [rng.choice(["plot", "table", "plot", "table", "forecast", "no-such", "--version", "--help"])]
    found += [schedule if rng.random() < 0.5 else text(rng) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
    for option in ("--steps", "--width", "--height", "--at", "--labels", "--title", "--horizon"):
        if rng.random() < 0.2:
            odd = [
                "24",
                "60",
                "5",
                "0",
                "-1",
                "2.5",
                "1e3",
                "x",
                "",
                "9" * 30,
                "0,1,2",
                "a,b",
                "é\x07",
                "9007199254740992",
            ]
            found += [option, rng.choice([value for value in odd if option != "--steps" or len(value) < 6])]
    found += [flag for flag in ("--csv", "--json", "--log", "--ascii", "--svg=-") if rng.random() < 0.15]
    return found
