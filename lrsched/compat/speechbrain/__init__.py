"""The schedulers of SpeechBrain 1.1, `speechbrain.nnet.schedulers`.

Its trainer calls a scheduler after each update (or epoch) with the number of updates made. So update 0 uses the rate
that the optimizer was built with: `lr` here (`optimizer_lr` where `lr` is the scheduler's), and if it is None the
scheduler's own rate, which the recipes give to both. Update t uses what the scheduler calls step t. The schedulers that
take epochs are told how many updates one has.

`NewBobScheduler` and `ReduceLROnPlateau` look at the loss: see `lrsched.feedback`.
"""

from collections.abc import Sequence
from typing import Annotated

from lrsched._core.check import Choice, Int, Many, Real
from lrsched._curves.decays import Exponential, InverseTime, PowerLaw
from lrsched._curves.modifiers import Extend
from lrsched._curves.ramps import Cosine, Linear
from lrsched._curves.schedule import Constant, Schedule
from lrsched._recipes.decimals import products
from lrsched.compat._tools.arguments import Count, Length, LengthOrNone, Rate, RateOrNone, checked, must
from lrsched.compat._tools.pieces import late, stairs, then, warmed
from lrsched.compat._tools.waves import cyclical
from lrsched.compat.speechbrain.stages import TriStageLRSchedule, WarmAndExpDecayLRSchedule, WarmCoolDecayLRSchedule
from lrsched.compat.speechbrain.steps import IntervalScheduler, LinearScheduler, StepScheduler, after_the_first

__all__ = [
    "CyclicCosineScheduler",
    "CyclicLRScheduler",
    "IntervalScheduler",
    "InverseSquareRootScheduler",
    "LinearNoamScheduler",
    "LinearScheduler",
    "LinearWarmupScheduler",
    "NoamIntervalScheduler",
    "NoamScheduler",
    "StepScheduler",
    "TriStageLRSchedule",
    "WarmAndExpDecayLRSchedule",
    "WarmCoolDecayLRSchedule",
]

Whole = Annotated[Sequence[int], Many(Int(low=-(2**53)), least=0)]
SomeRates = Annotated[Sequence[float], Many(Real(low=0.0), least=0)]


def _noam(lr: float, warmup: int, model_size: int | None) -> Schedule:
    """Return `lr * norm * min(n ** -0.5, n * warmup ** -1.5)`."""
    peak = lr if model_size is None else lr * (model_size * warmup) ** -0.5
    return Linear(0.0, peak, warmup) >> PowerLaw(peak, 0.5, timescale=warmup)


@checked
def NoamScheduler(
    lr_initial: Rate, n_warmup_steps: Length, model_size: LengthOrNone = None, *, lr: RateOrNone = None
) -> Schedule:
    """Linear warm-up, then the inverse square root.

    Step n has `lr_initial * norm * min(n ** -0.5, n * n_warmup_steps ** -1.5)`.

    Args:
        lr_initial: the highest rate, if there is no `model_size`, >= 0.
        n_warmup_steps: steps of the warm-up, >= 1.
        model_size: width of the model: `norm` is `model_size ** -0.5`, and `n_warmup_steps ** 0.5` if it is None.
        lr: rate of the optimizer, which update 0 uses; None stands for `lr_initial`.

    Examples:
        >>> s = NoamScheduler(1.0, 4)
        >>> s(0), s(1), s(4), s(16)
        (1.0, 0.25, 1.0, 0.5)

    References:
        Vaswani et al., Attention Is All You Need, 2017, eq. 3. arXiv:1706.03762
    """
    return after_the_first(lr_initial if lr is None else lr, _noam(lr_initial, n_warmup_steps, model_size))


@checked
def NoamIntervalScheduler(
    lr_initial: Rate,
    n_warmup_steps: Length,
    anneal_steps: Whole,
    anneal_rates: SomeRates,
    model_size: LengthOrNone = None,
    *,
    lr: RateOrNone = None,
) -> Schedule:
    """`NoamScheduler` times a staircase.

    Args:
        lr_initial: the highest rate, if there is no `model_size`, >= 0.
        n_warmup_steps: steps of the warm-up, >= 1.
        anneal_steps: the last steps before each drop, in any order.
        anneal_rates: the factors of the drops, >= 0, at least as many.
        model_size: width of the model, as in `NoamScheduler`.
        lr: rate of the optimizer, which update 0 uses; None stands for `lr_initial`.

    Examples:
        >>> s = NoamIntervalScheduler(1.0, 4, anneal_steps=[16], anneal_rates=[0.5])
        >>> s(16), s(64)
        (0.5, 0.125)
    """
    enough = len(anneal_rates) >= len(anneal_steps)
    must(enough, "NoamIntervalScheduler(anneal_rates=...)", f"{len(anneal_steps)} numbers", anneal_rates)
    drops = sorted(zip(anneal_steps, anneal_rates, strict=False))
    levels = products(1.0, [rate for _, rate in drops])
    curve = _noam(lr_initial, n_warmup_steps, model_size)
    if drops:
        curve = curve * stairs([step + 1 for step, _ in drops], levels)
    return after_the_first(lr_initial if lr is None else lr, curve)


@checked
def LinearNoamScheduler(
    lr_initial: Rate, n_warmup_steps: Length, n_keep_steps: Count, *, lr: RateOrNone = None
) -> Schedule:
    """Linear warm-up, a constant phase, then `lr_initial * n_warmup_steps / (n - n_keep_steps)`.

    Args:
        lr_initial: the highest rate, >= 0.
        n_warmup_steps: steps of the warm-up, >= 1.
        n_keep_steps: steps of the constant phase.
        lr: rate of the optimizer, which update 0 uses; None stands for `lr_initial`.

    Examples:
        >>> s = LinearNoamScheduler(1.0, 2, 2)
        >>> s(1), s(4), s(6)
        (0.5, 1.0, 0.5)

    References:
        Kim et al., Squeezeformer, 2022, section 3.4. arXiv:2206.00888
    """
    fall = then(n_keep_steps, Constant(lr_initial, max(n_keep_steps, 1)), InverseTime(lr_initial, 1.0, n_warmup_steps))
    return after_the_first(lr_initial if lr is None else lr, Linear(0.0, lr_initial, n_warmup_steps) >> fall)


@checked
def LinearWarmupScheduler(
    initial_value: Rate, num_warmup_steps: Count, num_training_steps: Count, *, lr: RateOrNone = None
) -> Schedule:
    """Linear warm-up, then a line to 0 at step `num_training_steps`.

    Args:
        initial_value: the highest rate, >= 0.
        num_warmup_steps: steps of the warm-up.
        num_training_steps: all steps; if there are no more than those of the warm-up the rate is 0 after it.
        lr: rate of the optimizer, which update 0 uses; None stands for `initial_value`.

    Examples:
        >>> s = LinearWarmupScheduler(1.0, 2, 10)
        >>> [s(t) for t in range(5)]
        [1.0, 0.5, 1.0, 0.875, 0.75]
    """
    steps = num_training_steps - num_warmup_steps
    fall: Schedule = Linear(initial_value, 0.0, steps) if steps > 0 else Constant(0.0)
    curve = warmed(num_warmup_steps, 0.0, initial_value, fall)
    return after_the_first(initial_value if lr is None else lr, curve)


@checked
def CyclicCosineScheduler(
    n_warmup_steps: Length, lr_initial: RateOrNone = None, total_steps: Length = 100000, *, lr: RateOrNone = None
) -> Schedule:
    """A cosine wave without end, with its top at step `n_warmup_steps`: `(1 + cos(pi * (n - W) / total_steps)) / 2`.

    Args:
        n_warmup_steps: W, the step of the top, >= 1. There is no warm-up: the rise to it is that of the wave.
        lr_initial: the highest rate, >= 0. Without it SpeechBrain multiplies the rate of the optimizer anew at each
            step, which is no wave: it must be given.
        total_steps: steps of half a period, >= 1.
        lr: rate of the optimizer, which update 0 uses; None stands for `lr_initial`.

    Raises:
        ValueError: `lr_initial` is None, or an argument is out of range.

    Examples:
        >>> s = CyclicCosineScheduler(3, 1.0, total_steps=6)
        >>> s(3), round(s(6), 12), s(9)
        (1.0, 0.5, 0.0)
    """
    given = lr_initial is not None
    must(given, "CyclicCosineScheduler(lr_initial=...)", "given: the rates would multiply without end", lr_initial)
    top = lr_initial or 0.0
    wave = late(Extend(Cosine(top, 0.0, total_steps)), -n_warmup_steps % (2 * total_steps))
    return after_the_first(top if lr is None else lr, wave)


@checked
def CyclicLRScheduler(
    base_lr: Rate = 0.001,
    max_lr: Rate = 0.006,
    step_size: Annotated[float, Real(low=1e-6)] = 2000.0,
    mode: Annotated[str, Choice(("triangular", "triangular2", "exp_range"))] = "triangular",
    gamma: Rate = 1.0,
    scale_fn: None = None,
    scale_mode: str = "cycle",
    *,
    lr: RateOrNone = None,
) -> Schedule:
    """A triangular wave between two rates, constant or damped.

    Args:
        base_lr: rate at the start of each cycle, >= 0.
        max_lr: rate at the top; not below `base_lr` where the wave is damped.
        step_size: steps of half a cycle, > 0; need not be whole.
        mode: "triangular"; "triangular2", halved after each cycle; "exp_range", times `gamma` after each step.
        gamma: factor of each step, for "exp_range" alone, >= 0.
        scale_fn: None, for a Python function is no value.
        scale_mode: the clock of `scale_fn`, so without effect.
        lr: rate of the optimizer, which update 0 uses; None stands for `base_lr`.

    Examples:
        >>> s = CyclicLRScheduler(0.1, 0.3, step_size=2)
        >>> s(0), s(1), s(2)
        (0.1, 0.2, 0.3)

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017. arXiv:1506.01186
    """
    where = "CyclicLRScheduler"
    must(scale_fn is None, f"{where}(scale_fn=...)", "None (a Python function is no schedule)", scale_fn)
    first = base_lr if lr is None else lr
    if mode == "exp_range" and gamma == 0.0:
        return after_the_first(first, Constant(base_lr))
    scales = {"triangular": None, "triangular2": Exponential(2.0, 0.5), "exp_range": Exponential(1.0, gamma or 1.0)}
    return after_the_first(
        first, cyclical(where, "max_lr", base_lr, max_lr, step_size, scales[mode], mode != "exp_range")
    )


@checked
def InverseSquareRootScheduler(lr: Rate, warmup_steps: Count) -> Schedule:
    """`1 / sqrt(max(warmup_steps, n))`, whatever the rate of the optimizer is.

    Args:
        lr: rate of the optimizer, which update 0 alone uses.
        warmup_steps: steps of the constant phase.

    Examples:
        >>> s = InverseSquareRootScheduler(0.1, 4)
        >>> s(0), s(3), s(16)
        (0.1, 0.5, 0.25)

    References:
        Raffel et al., T5, 2020, section 3.1.2. arXiv:1910.10683
    """
    steps = max(warmup_steps, 1)
    top = steps**-0.5
    return after_the_first(lr, Constant(top, steps) >> PowerLaw(top, 0.5, timescale=steps))
