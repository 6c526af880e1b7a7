"""`lrsched convert`: a schedule as the code of another library, as settings of a trainer, or as JSON."""

import json
from collections.abc import Callable
from typing import Any

from lrsched._command.shared import Args, UserError, budget_of, read_schedules
from lrsched._core.config import to_config
from lrsched._core.names import ALIASES
from lrsched._curves import Schedule
from lrsched._translate.deepspeed import to_deepspeed
from lrsched._translate.source import TARGETS, to_source
from lrsched._translate.trainer import to_hf_kwargs


def _trainer(schedule: Schedule, steps: int | None) -> dict[str, Any]:
    if steps is None:
        raise UserError("--to trainer must be given the updates of the training, --steps N")
    return to_hf_kwargs(schedule, steps)


# What is printed as JSON.
_SETTINGS: dict[str, Callable[[Schedule, int | None], dict[str, Any]]] = {
    "deepspeed": lambda schedule, steps: to_deepspeed(schedule),
    "json": lambda schedule, steps: to_config(schedule),
    "trainer": _trainer,
}
NAMES = sorted([*TARGETS, *ALIASES, *_SETTINGS, "text"])


def convert(args: Args) -> int:
    """Print the schedule in the other form; return the exit status.

    Args:
        args: `schedule`, `to`, `steps` and the sizes of an update, of the command line.

    Raises:
        UserError: the schedule cannot be read, or the trainer needs the length of the run.
    """
    (schedule,) = read_schedules([args.schedule], budget_of(args))
    target = ALIASES.get(args.to, args.to)
    if target == "text":
        print(schedule)
    elif target in _SETTINGS:
        print(json.dumps(_SETTINGS[target](schedule, args.steps), indent=2, allow_nan=False))
    else:
        print(to_source(schedule, target, args.steps), end="")
    return 0
