"""Updates by the kernels that PyTorch has for all tensors of an optimizer: a few calls, in place."""

import math
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from lrsched import rules
from lrsched_keras._native import Native, native_of

# The dtypes in which parameters and slots are the same.
DTYPES = (torch.float32, torch.float64)
DEVICES = ("cpu", "cuda")

# (parameters, gradients, slots by name, learning rate, updates done before)
Kernel = Callable[[list[Tensor], list[Tensor], list[list[Tensor]], float, int], None]


def native(rule: rules.Rule) -> Native | None:
    """Return a rule as a native kernel with parts around it, or None."""
    return native_of(rule, _kernel_of)


def _kernel_of(rule: rules.Rule) -> Kernel | None:
    if isinstance(rule, rules.SGD):
        return _sgd
    if isinstance(rule, rules.Momentum):
        return _momentum_in_buffer(rule) if rule.lr_in_buffer else _momentum(rule)
    if isinstance(rule, rules.Adam):
        return _adam(rule)
    if isinstance(rule, rules.AdaGrad):
        return _adagrad(rule)
    return None


def _fused_sgd(ps: Any, gs: Any, vs: Any, lr: float, **options: Any) -> None:
    usual = {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "is_first_step": False}
    torch._fused_sgd_(ps, gs, vs, weight_decay=0.0, lr=lr, maximize=False, **(usual | options))


def _sgd(ps: Any, gs: Any, slots: Any, lr: float, step: int) -> None:
    _fused_sgd(ps, gs, [], lr)


def _momentum(rule: rules.Momentum) -> Kernel | None:
    if not rule.momentum:  # for which torch has no velocity
        return None

    def update(ps: Any, gs: Any, slots: Any, lr: float, step: int) -> None:
        _fused_sgd(
            ps, gs, slots[0], lr, momentum=rule.momentum, dampening=rule.dampening, nesterov=rule.nesterov,
            is_first_step=rule.first_step == "clone" and step == 0,
        )  # fmt: skip

    return update


def _momentum_in_buffer(rule: rules.Momentum) -> Kernel:
    def update(ps: Any, gs: Any, slots: Any, lr: float, step: int) -> None:
        (vs,) = slots
        weight = 1.0 - rule.dampening * (min(step, 1) if rule.first_step == "clone" else 1.0)
        inside = lr * weight
        # Of `v <- momentum * v + (1 - dampening) * g` and `p <- p - v`, with the rate in the place of `1 - dampening`:
        # the kernel of the CPU takes it from 1 in float64, and for rates like these the difference is exact enough.
        narrow = ps[0].dtype == torch.float32 and ps[0].device.type == "cpu" and inside > 1e-8
        if narrow and rule.momentum and not rule.nesterov:
            _fused_sgd(ps, gs, vs, 1.0, momentum=rule.momentum, dampening=1.0 - inside)
            return
        torch._foreach_mul_(vs, rule.momentum)
        torch._foreach_add_(vs, gs, alpha=inside)
        if rule.nesterov:
            torch._foreach_add_(ps, gs, alpha=-inside)
        torch._foreach_add_(ps, vs, alpha=-rule.momentum if rule.nesterov else -1.0)

    return update


def _adam(rule: rules.Adam) -> Kernel | None:
    if rule.eps_at == "inside" or rule.eps_root or rule.amsgrad == "corrected":
        return None
    if not (rule.correct_m and rule.correct_v):
        return None
    largest = rule.amsgrad == "raw"

    def update(ps: Any, gs: Any, slots: Any, lr: float, step: int) -> None:
        eps = rule.eps
        if rule.eps_at == "hat":  # sqrt(v) + eps is sqrt(c) times sqrt(v / c) + eps / sqrt(c)
            eps /= math.sqrt(-math.expm1((step + 1) * math.log(rule.b2))) if rule.b2 else 1.0
        torch._fused_adam_(
            ps, gs, slots[0], slots[1], slots[2] if largest else [], _steps(ps, step), lr=lr, beta1=rule.b1,
            beta2=rule.b2, weight_decay=0.0, eps=eps, amsgrad=largest, maximize=False,
        )  # fmt: skip

    return update


def _adagrad(rule: rules.AdaGrad) -> Kernel | None:
    if rule.eps_at != "outside":
        return None

    def update(ps: Any, gs: Any, slots: Any, lr: float, step: int) -> None:
        torch._fused_adagrad_(
            ps, gs, slots[0], _steps(ps, step), lr=lr, lr_decay=0.0, weight_decay=0.0, eps=rule.eps, maximize=False
        )

    return update


def _steps(ps: Sequence[Tensor], step: int) -> list[Tensor]:
    """Return the number of this update, counted from 1, for each parameter."""
    return [torch.full((), float(step + 1), device=ps[0].device)] * len(ps)


def _fit(ps: Sequence[Tensor], gs: Sequence[Tensor], slots: Sequence[Sequence[Tensor]]) -> bool:
    """Return whether all are plain memory of one device and dtype, what is written in the order of the elements."""
    columns = [ps, gs, *slots]
    every = [x for column in columns for x in column]
    if not set(map(type, every)) <= {torch.Tensor, torch.nn.Parameter} or {x.layout for x in every} != {torch.strided}:
        return False
    (dtype, *dtypes), (device, *devices) = ({x.dtype for x in every}, {x.device for x in every})
    if dtypes or devices or dtype not in DTYPES or device.type not in DEVICES:
        return False
    shapes = [[x.shape for x in column] for column in columns]
    return all(own == shapes[0] for own in shapes) and all(x.is_contiguous() for own in (ps, *slots) for x in own)


@torch.compiler.disable
def uncompiled(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that `torch.compile` shall not see: around a kernel there is nothing to compile."""
    return function(*arguments)


@torch.no_grad()
def update(
    native: Native,
    ps: list[Tensor],
    slots: list[list[Tensor]],
    gs: list[Tensor],
    lr: Any,
    step: Any,
    spared: Sequence[bool],
) -> bool:
    """Update tensors by a native kernel.

    Args:
        native: what to do.
        ps: the memory of the parameters.
        slots: that of the slots of each.
        gs: a gradient for each.
        lr: learning rate, a number or a 0-d tensor.
        step: updates done before this one, likewise.
        spared: whether weight decay leaves each parameter alone; empty if it spares none.

    Returns:
        False if the kernel does not take one of the tensors; nothing has been done then.
    """
    columns = [list(column) for column in zip(*slots, strict=True)]
    if not _fit(ps, gs, columns):
        return False
    lr, step = float(lr), int(step)
    gs = native.transformed(ps, [g.contiguous() for g in gs], lr, step, spared)
    if decaying := list(compress(ps, native.decays(ps, spared))):
        torch._foreach_add_(decaying, decaying, alpha=-native.rate(lr))
    native.kernel(ps, gs, columns, lr, step)
    return True
