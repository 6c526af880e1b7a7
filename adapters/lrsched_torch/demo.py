"""The PyTorch part of `lrsched demo`: the ordinary training loop with `RuleOptimizer`."""

import time
from typing import Any

import torch

from lrsched import Schedule, demo, rules
from lrsched_torch._optimizer.optimizer import RuleOptimizer


def train(problem: demo.Problem, schedule: Schedule, rule: rules.Rule, report: demo.Report) -> demo.Run:
    """Train the network of `lrsched.demo` with PyTorch; arguments and result as `lrsched.demo.train`."""
    torch.set_num_threads(1)  # more threads only wait for each other on a network this small
    x, y = torch.from_numpy(problem.train_x), torch.from_numpy(problem.train_y)
    model = torch.nn.Sequential(torch.nn.Linear(64, demo.HIDDEN), torch.nn.Tanh(), torch.nn.Linear(demo.HIDDEN, 10))
    with torch.no_grad():
        for parameter, first in zip(model.parameters(), problem.weights, strict=True):
            parameter.copy_(torch.from_numpy(first.T.copy()))  # torch stores (out, in)
    optimizer = RuleOptimizer(model.parameters(), rule, lr=schedule)
    losses: list[Any] = []
    rates: list[float] = []
    begin = time.perf_counter()
    for step, rows in enumerate(torch.from_numpy(problem.batches)):
        loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # as torch ships it
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        losses.append(loss.detach())
        report(step + 1)
    weights = tuple(parameter.detach().numpy().T for parameter in model.parameters())
    return demo.Run([float(loss) for loss in losses], rates, weights, time.perf_counter() - begin)
