"""A rule as a native kernel of a framework with parts around it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lrsched import rules


@dataclass(frozen=True, eq=False)
class Native:
    """What an update by a native kernel consists of.

    Args:
        before: parts that transform the gradients first.
        kernel: that of the rule; its updates do not depend on the parameters.
        decay: the decay past the rule, if there is one.
    """

    before: tuple[rules.Part, ...]
    kernel: Any
    decay: rules.DecoupledWeightDecay | None

    def transformed(self, ps: list[Any], gs: list[Any], lr: Any, step: Any, spared: Sequence[bool]) -> list[Any]:
        """Return what the parts make of the gradients; all arrays are of one working dtype."""
        if not self.before:
            return gs
        ops: Any = rules.ops_of(ps[0])
        context = rules.Context.of_list(ops, [len(p.shape) for p in ps], lr, step)
        context = replace(context, spared=tuple(spared))
        for part in self.before:
            gs = part.transform(context, ps, gs)
        return gs

    def rate(self, lr: Any) -> Any:
        """Return the share of a parameter that decays, or None."""
        if self.decay is None:
            return None
        return self.decay.strength * lr if self.decay.times_lr else self.decay.strength

    def decays(self, ps: list[Any], spared: Sequence[bool]) -> list[bool]:
        """Return whether each parameter decays."""
        if self.decay is None:
            return [False] * len(ps)
        least = self.decay.min_ndim
        return [len(p.shape) >= least and not left for p, left in zip(ps, spared or [False] * len(ps), strict=True)]


def native_of(rule: rules.Rule, kernel_of: Callable[[rules.Rule], Any]) -> Native | None:
    """Return a rule as a native kernel, or None if there is none or what stands after the rule needs its updates.

    Args:
        rule: a rule or a chain.
        kernel_of: returns the kernel of a rule that is no chain, or None.
    """
    links = rule.links if isinstance(rule, rules.Pipeline) else (rule,)
    place = next(i for i, link in enumerate(links) if isinstance(link, rules.Rule))
    # Of these, the links before the rule are parts.
    before: Any = links[:place]
    only: Any = links[place]
    decays: Any = links[place + 1 :]
    if len(decays) > 1 or not all(isinstance(link, rules.DecoupledWeightDecay) for link in decays):
        return None
    kernel = kernel_of(only)
    return None if kernel is None else Native(before, kernel, decays[0] if decays else None)
