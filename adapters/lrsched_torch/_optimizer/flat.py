"""One buffer for many parameters, and one for their gradients.

When the optimizer is built, the content of a weight is copied into the buffer of its group and dtype, and the weight
becomes a view of it (`p.data`); its gradient gets the same place in the other buffer at `zero_grad`, where the backward
pass adds to it. Neighbours in a buffer are a bucket then (`_joined/bucket.py`), so an update copies nothing. Others may
give a weight other memory at any time: `attach` asks at each step whether all still lie here (`_loops/unmoved.py`), and
copies those that do not.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import is_
from typing import Any

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._joined.bucket import WIDTH, Home
from lrsched_torch._loops.unmoved import Unmoved
from lrsched_torch._optimizer.pages import zeros
from lrsched_torch._shared.facts import facts_of

# Elements to which tensors are aligned where a bucket needs no whole rows: 64 bytes of float32.
ALIGNMENT = 16


class Flat:
    """The buffers of an optimizer; parameters become views of them.

    Args:
        groups: the parameters with their rule and the number of their group. Neighbours in a buffer are those that one
            kernel updates.
        quick: whether to build what looks at all tensors in one call.

    Raises:
        TypeError: a parameter is of a kind that moves its memory by itself, or the rule needs tensors in their shape.
        ValueError: a parameter is not contiguous, or two share memory.
    """

    def __init__(self, groups: Iterable[tuple[rules.Rule, int, Sequence[Tensor]]], *, quick: bool) -> None:
        groups = [(rule, number, list(ps)) for rule, number, ps in groups]
        check_flat(groups)
        self._groups = groups
        self.homes: dict[Tensor, Home] = {}
        buffers: dict[Any, list[Tensor]] = {}
        for rule, number, ps in groups:
            ranked = facts_of(rule).ranked and facts_of(rule).elementwise
            for p in ps:
                buffers.setdefault((rule, number, p.dim() if ranked else 0, p.dtype, p.device), []).append(p)
        for (rule, *_), ps in buffers.items():
            self._settle(ps, ALIGNMENT if facts_of(rule).elementwise else WIDTH)
        self._ps = list(self.homes)
        self._gs = [home.g for home in self.homes.values()]
        # Where the gradients lie, for those who get another memory.
        self._slopes = [g.detach() for g in self._gs]
        self._attach_parameters()
        self._ps_here, self._gs_here = Unmoved(self._ps, quick=quick), Unmoved(self._gs, quick=quick)

    def _settle(self, ps: Sequence[Tensor], row: int) -> None:
        """Make two buffers of whole rows, and views of them of the parameters."""
        ends, end = [], 0
        for p in ps:
            # An empty tensor has one too.
            end += max(-(-p.numel() // row), 1) * row
            ends.append(end)
        both = [zeros(end, ps[0]) for _ in range(2)]
        begins = [0, *ends[:-1]]
        for p, begin, end in zip(ps, begins, ends, strict=True):
            mine, slope = (buffer[begin : begin + p.numel()].view(p.shape) for buffer in both)
            self.homes[p] = Home(mine, slope, begin, end)

    def holds(self, groups: Sequence[tuple[rules.Rule, int, Sequence[Tensor]]]) -> bool:
        """Return whether these are the groups of which the parameters lie here."""
        return len(groups) == len(self._groups) and all(
            rule == other and len(ps) == len(own) and all(map(is_, ps, own))
            for (rule, _, ps), (other, _, own) in zip(groups, self._groups, strict=True)
        )

    def attach(self) -> None:
        """Make parameters and gradients views of the buffers; what others have put in their place is copied.

        Raises:
            ValueError: a parameter has another shape, dtype or device than when the optimizer was built.
        """
        if not self._ps_here:
            self._attach_parameters()
        if not self._gs_here:
            for g, slope in zip(self._gs, self._slopes, strict=True):
                if g.data_ptr() != slope.data_ptr():
                    slope.copy_(g)
                    g.data = slope

    def _attach_parameters(self) -> None:
        for p, home in self.homes.items():
            if p.data_ptr() == home.p.data_ptr():
                continue
            if (p.shape, p.dtype, p.device) != (home.p.shape, home.p.dtype, home.p.device):
                raise ValueError(
                    f"RuleOptimizer(flat=True) must keep the shape, dtype and device of each parameter, got {p.dtype} "
                    f"of shape {tuple(p.shape)} on {p.device} after {home.p.dtype} of shape {tuple(home.p.shape)} on "
                    f"{home.p.device}; build the optimizer after moving the model"
                )
            home.p.copy_(p.detach())
            p.data = home.p

    def release(self) -> None:
        """Give each parameter and gradient its own memory again."""
        for p, home in self.homes.items():
            if p.data_ptr() == home.p.data_ptr():
                p.data = p.data.clone()
            if p.grad is home.g:
                p.grad = home.g.clone()

    def zero_grad(self) -> None:
        """Make the gradients zeros that lie in the buffer."""
        torch._foreach_zero_(self._gs)
        for p, g in zip(self._ps, self._gs, strict=True):
            if p.grad is not g:
                p.grad = g


def check_flat(groups: Iterable[tuple[rules.Rule, int, Sequence[Tensor]]]) -> None:
    """Raise an error if parameters cannot lie in one buffer; see `Flat`."""
    found: list[Tensor] = []
    for rule, _, ps in groups:
        if not facts_of(rule).packs:
            raise TypeError(
                f"RuleOptimizer(flat=True) must have a rule that does not need the shapes of tensors, got {rule!r}"
            )
        for p in ps:
            _check(p)
            found += [p] if p.numel() else []
    found.sort(key=lambda p: (str(p.device), p.data_ptr()))
    for p, q in pairwise(found):
        if p.device == q.device and p.data_ptr() + p.numel() * p.element_size() > q.data_ptr():
            raise ValueError(
                f"RuleOptimizer(flat=True) must get parameters that share no memory, got two of shapes "
                f"{tuple(p.shape)} and {tuple(q.shape)} that do; make tied weights one Parameter"
            )


def _check(p: Tensor) -> None:
    # Subclasses, FSDP among them, own their memory.
    if type(p) not in (Tensor, torch.nn.Parameter) or hasattr(p, "_is_flat_param") or hasattr(p, "_local_tensor"):
        raise TypeError(
            f"RuleOptimizer(flat=True) must get ordinary parameters, got a {type(p).__name__} of shape "
            f"{tuple(p.shape)}; leave flat=True out under FSDP and tensor parallelism"
        )
    if p.layout != torch.strided or not p.is_contiguous():
        raise ValueError(
            f"RuleOptimizer(flat=True) must get contiguous parameters, got one of shape {tuple(p.shape)} and strides "
            f"{p.stride() if p.layout == torch.strided else p.layout}"
        )
