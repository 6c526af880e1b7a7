"""The learning-rate range test over a torch training step."""

from contextlib import nullcontext
from copy import deepcopy
from typing import Annotated

import torch
from torch.optim import Optimizer

from lrsched import feedback, range_test
from lrsched.arguments import Function, Length, OneOf, OrNone, Positive, checked


@checked
def run_range_test(
    model: Annotated[torch.nn.Module, OneOf(torch.nn.Module, "a torch.nn.Module")],
    optimizer: Annotated[Optimizer, OneOf(Optimizer, "a torch.optim.Optimizer")],
    step: Function,
    *,
    start: Positive = 1e-7,
    end: Positive = 10.0,
    steps: Length = 100,
    rule: Annotated[feedback.RangeTest | None, OrNone(OneOf(feedback.RangeTest, "a RangeTest"))] = None,
) -> feedback.RangeCurve:
    """Train with a rising rate, put everything back, and suggest a learning rate.

    All groups get the same rate. Afterwards model and optimizer are as they were, also if `step` raises; gradients are
    gone. What else `step` moves, such as data loaders and random numbers, stays moved.

    Args:
        model: whose parameters and buffers are put back.
        optimizer: drives them.
        step: does one update, without stepping a scheduler, and returns the loss.
        start: first learning rate, > 0.
        end: last learning rate, > `start`.
        steps: updates between them, at least 1; at most `steps + 1` are done.
        rule: when to stop; by default when the smoothed loss exceeds four times its best.

    Returns:
        Learning rates, losses as `step` returned them, and the suggestions.

    Raises:
        ValueError: the rates do not rise.

    Examples:
        >>> import torch
        >>> model = torch.nn.Linear(1, 1)
        >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> x = torch.linspace(-1.0, 1.0, 16)[:, None]
        >>> def step():
        ...     sgd.zero_grad()
        ...     loss = (model(x) - 2.0 * x - 10.0).square().mean()
        ...     loss.backward()
        ...     sgd.step()
        ...     return loss
        >>> curve = run_range_test(model, sgd, step, start=1e-4)
        >>> 1e-4 < curve.suggestions.valley < 1.0 < curve.lrs[-1]
        True
        >>> sgd.param_groups[0]["lr"]
        0.1
    """

    def train(lr: float) -> float:
        for group in optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        loss = step()
        return float(loss.detach() if isinstance(loss, torch.Tensor) else loss)

    weights, state = deepcopy(model.state_dict()), deepcopy(optimizer.state_dict())
    # Loading would put other tensors in their place, which compiled code does not know.
    tensors = [group["lr"] for group in optimizer.param_groups]
    first = [float(lr) for lr in tensors]
    # A RuleOptimizer would go on with its own schedule.
    rates = getattr(optimizer, "_rates", None)
    try:
        with rates.freely() if rates else nullcontext():
            return feedback.range_curve(train, map(range_test(start, end, steps), range(steps + 1)), rule)
    finally:
        model.load_state_dict(weights)
        optimizer.load_state_dict(state)
        optimizer.zero_grad()
        for group, tensor, lr in zip(optimizer.param_groups, tensors, first, strict=True):
            if isinstance(tensor, torch.Tensor):
                group["lr"] = tensor.fill_(lr)
