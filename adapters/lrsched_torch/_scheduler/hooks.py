"""What an optimizer tells a scheduler: that a state is loaded, that an update was done."""

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import ref

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.hooks import RemovableHandle

S = TypeVar("S", bound=LRScheduler)


def hooked(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer that has the hooks: itself, or the one inside a wrapper such as accelerate's."""
    while "_optimizer_step_post_hooks" not in vars(optimizer):
        inner = getattr(optimizer, "optimizer", None)
        if not isinstance(inner, Optimizer):
            break
        optimizer = inner
    return optimizer


def tell(scheduler: S, event: str, method: Callable[[S], None]) -> RemovableHandle | None:
    """Have a method of a scheduler called at an event of its optimizer, which does not keep the scheduler alive.

    Args:
        scheduler: the scheduler. When it is gone the hook is too, and copies of the optimizer have none.
        event: "step_post", "load_state_dict_pre" or "load_state_dict_post".
        method: what is called.

    Returns:
        What ends it, or None if the optimizer has no hooks.
    """

    def call(optimizer: Optimizer, *_: Any) -> None:
        one = known()
        if one is not None and hooked(one.optimizer) is optimizer:
            method(one)

    optimizer = hooked(scheduler.optimizer)
    if "_optimizer_step_post_hooks" not in vars(optimizer):
        return None
    handle: RemovableHandle = getattr(optimizer, f"register_{event}_hook")(call)
    known = ref(scheduler, lambda _: handle.remove())
    return handle
