"""What configurations say of the optimizer: the rule that a name and its arguments mean."""

from collections.abc import Callable, Mapping
from typing import Any

from lrsched import rules
from lrsched._configs.keys import Found, Keys, called
from lrsched.compat import torch

# Optimizers of other libraries with the mathematics, the arguments and the defaults of PyTorch's.
_SAME: dict[str, Callable[..., rules.Rule]] = {
    **dict.fromkeys(("adamw", "adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_hf"), torch.AdamW),
    "adamw_torch_npu_fused": torch.AdamW,
    **dict.fromkeys(("adam", "torch_adam"), torch.Adam),
    "sgd": torch.SGD,
    "adagrad": torch.Adagrad,
    "adadelta": torch.Adadelta,
    "adamax": torch.Adamax,
    "nadam": torch.NAdam,
    "radam": torch.RAdam,
    "rmsprop": torch.RMSprop,
}


def put_rule(found: Found, keys: Keys, key: str, name: Any, arguments: Mapping[str, Any], clip: float | None) -> None:
    """Set the rule that a name means with these arguments, of which None is none; say so if there is no such rule.

    Args:
        found: what gets the rule.
        keys: the section that names it.
        key: the entry that does.
        name: the optimizer, by the name of the trainer.
        arguments: those that it has in PyTorch.
        clip: the joint norm to which gradients are clipped before, as PyTorch does; None or 0 for none.
    """
    if name is None and any(value is not None for value in arguments.values()):
        keys.refuse(key, "name an optimizer")
    make = _SAME.get(str(name).rpartition(".")[2].lower())
    if make is None:
        keys.unread(key, "an optimizer for which there is no rule here")
        return
    rule: rules.Rule = called(keys, make, arguments, key)
    found.optimizer = rules.ClipByGlobalNorm(clip, eps=1e-6) >> rule if clip else rule
