"""The averages of Schedule-Free in the place of the parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import torch

from lrsched import rules
from lrsched.arguments import OneOf, checked
from lrsched_torch._optimizer.optimizer import RuleOptimizer
from lrsched_torch._shared.facts import facts_of, rebuilt


@checked
@contextmanager
def averaged(optimizer: Annotated[RuleOptimizer, OneOf(RuleOptimizer, "a RuleOptimizer")]) -> Iterator[None]:
    """Hold the averages of `rules.ScheduleFree` in the parameters.

    Evaluate and save a model for use inside the `with` block; what is trained comes back after it. Parameters that have
    not been updated stay as they are. Buffers, such as the statistics of batch normalization, are not averaged.

    Args:
        optimizer: one whose rule is a `ScheduleFree`, or a chain around one.

    Raises:
        TypeError: the rule of a group does not average.

    Examples:
        >>> import torch
        >>> from lrsched import rules
        >>> w = torch.nn.Parameter(torch.tensor([4.0]))
        >>> optimizer = RuleOptimizer([w], rules.ScheduleFree(rules.SGD(), b1=0.5), lr=0.5)
        >>> for _ in range(2):
        ...     w.grad = w.detach().clone()
        ...     optimizer.step()
        >>> with averaged(optimizer):
        ...     print(w.item())
        1.5
        >>> w.item()
        1.25
    """
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    with torch.no_grad():
        for rule, group in zip(optimizer.group_rules, optimizer.param_groups, strict=True):
            facts = facts_of(rule)
            for p in group["params"]:
                if state := optimizer.state.get(p):
                    slots = rebuilt(facts, [state[name] for name in facts.names])
                    kept.append((p, p.clone()))
                    p.copy_(rules.averages(rule, state.get("master", p), slots))
    try:
        yield
    finally:
        with torch.no_grad():
            for p, training in kept:
                p.copy_(training)
