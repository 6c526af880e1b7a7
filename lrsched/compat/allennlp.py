"""The learning-rate schedulers of AllenNLP 2.10, under the names of its configuration files.

The trainer tells a scheduler of updates about update t, as number t + 1, before the optimizer takes it: so a warm-up of
W updates begins with 1 / W. A scheduler of epochs is told at the end of each; `num_steps_per_epoch` turns its epochs
into updates, and 1 leaves a step an epoch.

`reduce_on_plateau` looks at a metric: see `lrsched.feedback`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from lrsched._core.check import Int, Items, Many, OneOf, Real
from lrsched._curves import Constant, Cosine, Epochs, Linear, Polynomial, PowerLaw, Repeat, Schedule
from lrsched.compat import torch, transformers
from lrsched.compat._tools import (
    Count,
    Length,
    LengthOrNone,
    OnOff,
    Rate,
    argument_section,
    checked,
    cut,
    late,
    must,
    warmed,
)

__all__ = [
    "combined",
    "constant",
    "constant_with_warmup",
    "cosine",
    "cosine_hard_restarts_with_warmup",
    "cosine_with_warmup",
    "exponential",
    "linear_with_warmup",
    "multi_step",
    "noam",
    "polynomial_decay",
    "slanted_triangular",
    "step",
]

Milestones = Annotated[Sequence[int], Many(Int(), least=0)]


def _by_epoch(schedule: Schedule, updates: int) -> Schedule:
    return schedule if updates == 1 or isinstance(schedule, Constant) else Epochs(schedule, updates)


@checked
def constant(lr: Rate, *, num_steps_per_epoch: Length = 1) -> Schedule:
    """The same rate at every epoch.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_steps_per_epoch: without effect.

    Examples:
        >>> constant(0.1)
        Constant(0.1)

    References:
        AllenNLP 2.10.1, training/learning_rate_schedulers and training/gradient_descent_trainer.py; so for all of this
        module.
    """
    return Constant(lr)


@checked
def constant_with_warmup(lr: Rate, num_warmup_steps: Count, *, num_steps_per_epoch: Length = 1) -> Schedule:
    """A line from 0 over some epochs, then the rate.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: epochs of the warm-up.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> constant_with_warmup(0.1, 2, num_steps_per_epoch=10)(15)
        0.05
    """
    return _by_epoch(transformers.get_constant_schedule_with_warmup(lr, num_warmup_steps), num_steps_per_epoch)


@checked
def cosine_with_warmup(
    lr: Rate,
    num_warmup_steps: Count,
    num_training_steps: Count,
    num_cycles: Annotated[float, Real()] = 0.5,
    *,
    num_steps_per_epoch: Length = 1,
) -> Schedule:
    """A line from 0 over some epochs, then a cosine wave to epoch `num_training_steps`, which rises again after it.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: epochs of the warm-up.
        num_training_steps: all epochs.
        num_cycles: turns of the wave.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> round(cosine_with_warmup(0.1, 2, 10, num_steps_per_epoch=5)(30), 12)
        0.05
    """
    wave = transformers.get_cosine_schedule_with_warmup(lr, num_warmup_steps, num_training_steps, num_cycles)
    return _by_epoch(wave, num_steps_per_epoch)


@checked
def cosine_hard_restarts_with_warmup(
    lr: Rate,
    num_warmup_steps: Count,
    num_training_steps: Count,
    num_cycles: Annotated[int, Int()] = 1,
    *,
    num_steps_per_epoch: Length = 1,
) -> Schedule:
    """A line from 0 over some epochs, then half cosines with restarts to epoch `num_training_steps`, then 0.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: epochs of the warm-up.
        num_training_steps: all epochs.
        num_cycles: number of cosines.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> cosine_hard_restarts_with_warmup(0.1, 2, 10, 2)(6)
        0.1
    """
    wave = transformers.get_cosine_with_hard_restarts_schedule_with_warmup(
        lr, num_warmup_steps, num_training_steps, num_cycles
    )
    return _by_epoch(wave, num_steps_per_epoch)


@checked
def step(lr: Rate, step_size: Length, gamma: Rate = 0.1, *, num_steps_per_epoch: Length = 1) -> Schedule:
    """The rate times `gamma` after each `step_size` epochs.

    Args:
        lr: the optimizer's learning rate, >= 0.
        step_size: epochs between drops, >= 1.
        gamma: factor of a drop, >= 0.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> step(1.0, 3, gamma=0.5, num_steps_per_epoch=10)(65)
        0.25
    """
    return _by_epoch(torch.StepLR(lr, step_size, gamma), num_steps_per_epoch)


@checked
def multi_step(lr: Rate, milestones: Milestones, gamma: Rate = 0.1, *, num_steps_per_epoch: Length = 1) -> Schedule:
    """The rate times `gamma` at each milestone.

    Args:
        lr: the optimizer's learning rate, >= 0.
        milestones: epochs, in order.
        gamma: factor of a drop, >= 0.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> multi_step(1.0, [2, 4], gamma=0.5, num_steps_per_epoch=10)(25)
        0.5
    """
    return _by_epoch(torch.MultiStepLR(lr, milestones, gamma), num_steps_per_epoch)


@checked
def exponential(lr: Rate, gamma: Rate = 0.1, *, num_steps_per_epoch: Length = 1) -> Schedule:
    """The rate times `gamma` after each epoch.

    Args:
        lr: the optimizer's learning rate, >= 0.
        gamma: the factor, >= 0.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> exponential(1.0, gamma=0.5, num_steps_per_epoch=10)(25)
        0.25
    """
    return _by_epoch(torch.ExponentialLR(lr, gamma), num_steps_per_epoch)


@checked
def cosine(
    lr: Rate,
    t_initial: Length,
    t_mul: Annotated[float, Real(low=0.0, high=1e6)] = 1.0,
    eta_min: Rate = 0.0,
    eta_mul: Annotated[float, Real(low=0.0, high=1e6, open_low=True)] = 1.0,
    *,
    num_steps_per_epoch: Length = 1,
) -> Schedule:
    """Half cosines with restarts; cycle i lasts `int(t_initial * t_mul ** i)` epochs.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_initial: epochs of the first cycle, >= 1.
        t_mul: factor of the length. Below 1 the last value holds when no epoch is left, where AllenNLP divides by zero.
        eta_min: the value that each cycle approaches, >= 0.
        eta_mul: factor of the first value of each cycle, > 0.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> s = cosine(1.0, 5, t_mul=1.5, eta_mul=0.5)
        >>> s(0), s(5), s(5 + 7)
        (1.0, 0.5, 0.25)

    References:
        Loshchilov & Hutter, SGDR, ICLR 2017. arXiv:1608.03983
    """
    times = None
    if t_mul < 1.0:
        times = 1
        while int(t_initial * t_mul**times) > 0:
            times += 1
    if times == 1:
        return _by_epoch(Cosine(lr, eta_min, t_initial), num_steps_per_epoch)

    def waves(start: float, end: float, scale: float) -> Schedule:
        return Repeat(Cosine(start, end, t_initial), times, t_mul, scale, "once")

    if eta_mul == 1.0 or eta_min == 0.0:
        curve = waves(lr, eta_min, eta_mul)
    else:
        curve = waves(lr, 0.0, eta_mul) + waves(0.0, eta_min, 1.0)
    return _by_epoch(curve, num_steps_per_epoch)


@checked
def noam(lr: Rate, model_size: Length, warmup_steps: Length, factor: Rate = 1.0) -> Schedule:
    """Linear warm-up, then the inverse square root: `factor * model_size ** -0.5 * min(n ** -0.5, n * W ** -1.5)`.

    Args:
        lr: without effect: the optimizer's learning rate is never used.
        model_size: width of the model, >= 1.
        warmup_steps: W, updates of the warm-up, >= 1; update W - 1 has the highest rate.
        factor: multiplier, >= 0.

    Examples:
        >>> noam(0.1, 1, 4)(3)
        0.5

    References:
        Vaswani et al., Attention Is All You Need, 2017, eq. 3. arXiv:1706.03762
    """
    peak = factor * (model_size * warmup_steps) ** -0.5
    return late(Linear(0.0, peak, warmup_steps) >> PowerLaw(peak, 0.5, timescale=warmup_steps), 1)


@checked
def polynomial_decay(
    lr: Rate,
    num_epochs: Length,
    num_steps_per_epoch: Length,
    power: Rate = 1.0,
    warmup_steps: Count = 0,
    end_learning_rate: Rate = 0.0,
) -> Schedule:
    """Linear warm-up, then a power of the part left, down to `end_learning_rate`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_epochs: epochs of the training, the warm-up included.
        num_steps_per_epoch: updates of an epoch.
        power: exponent, >= 0.
        warmup_steps: updates of the warm-up.
        end_learning_rate: the last rate, >= 0.

    Examples:
        >>> s = polynomial_decay(1.0, 2, 5, warmup_steps=2)
        >>> s(0), s(1), s(5), s(9)
        (0.5, 1.0, 0.5, 0.0)
    """
    steps = num_epochs * num_steps_per_epoch - warmup_steps
    end = Constant(end_learning_rate)
    fall: Schedule = end
    if steps > 0:
        fall = Polynomial(lr, end_learning_rate, steps, power) if power else Constant(lr, steps) >> end
    return late(warmed(warmup_steps, 0.0, lr, fall), 1)


@checked
def linear_with_warmup(
    lr: Rate, num_epochs: Length, num_steps_per_epoch: Length, warmup_steps: Count = 100
) -> Schedule:
    """Linear warm-up, then a line to 0.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_epochs: epochs of the training, the warm-up included.
        num_steps_per_epoch: updates of an epoch.
        warmup_steps: updates of the warm-up.

    Examples:
        >>> linear_with_warmup(1.0, 2, 100)(149)
        0.5
    """
    return polynomial_decay(lr, num_epochs, num_steps_per_epoch, 1.0, warmup_steps)


@checked
def slanted_triangular(
    lr: Rate,
    num_epochs: Length,
    num_steps_per_epoch: Length,
    cut_frac: Annotated[float, Real(low=0.0, high=1.0, open_high=True)] = 0.1,
    ratio: Annotated[float, Real(low=1.0)] = 32,
    gradual_unfreezing: OnOff = False,
    discriminative_fine_tuning: OnOff = False,
    decay_factor: Rate = 0.38,
    *,
    num_groups: LengthOrNone = None,
    depth: Count = 0,
) -> Schedule:
    """A short rise from `lr / ratio` and a long fall back to it, which then holds.

    With gradual unfreezing each of the first epochs has a triangle of its own; their number is that of the groups of
    parameters less two, for the last group is empty.

    Args:
        lr: the optimizer's learning rate, that of the top, >= 0.
        num_epochs: epochs of the training, more than those of the unfreezing.
        num_steps_per_epoch: updates of an epoch.
        cut_frac: part of the updates that rises, in [0, 1).
        ratio: how much smaller the lowest rate is, >= 1.
        gradual_unfreezing: whether the layers are trained one after the other.
        discriminative_fine_tuning: whether the rate of a group is `lr * decay_factor ** depth`.
        decay_factor: that factor, >= 0.
        num_groups: groups of parameters of the optimizer, the empty one included; for gradual unfreezing.
        depth: number of groups with parameters that stand after this one; for discriminative fine-tuning.

    Raises:
        ValueError: an argument is out of range, or gradual unfreezing has less than three groups or too few epochs.

    Examples:
        >>> s = slanted_triangular(1.0, 10, 10, ratio=4)
        >>> s(9), s(99)
        (1.0, 0.25)

    References:
        Howard & Ruder, Universal Language Model Fine-tuning, 2018, section 3.2. arXiv:1801.06146
    """
    top = lr * decay_factor**depth if discriminative_fine_tuning else lr

    def triangle(steps: int) -> Schedule:
        """Return steps 1, 2, ... of the triangle."""
        cut = int(steps * cut_frac)
        return late(warmed(cut, top / ratio, top, Linear(top, top / ratio, steps - cut)), 1)

    if not gradual_unfreezing:
        return triangle(num_epochs * num_steps_per_epoch)
    must(
        (num_groups or 0) > 2, "slanted_triangular(num_groups=...)", "given and >= 3 for gradual unfreezing", num_groups
    )
    frozen = (num_groups or 0) - 2
    must(num_epochs > frozen, "slanted_triangular(num_epochs=...)", f"> {frozen}, the epochs of unfreezing", num_epochs)
    n = num_steps_per_epoch
    return Repeat(cut(triangle(n), n), frozen) >> triangle((num_epochs - frozen) * n)


_OF_EPOCHS: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "constant_with_warmup": constant_with_warmup,
    "cosine": cosine,
    "cosine_hard_restarts_with_warmup": cosine_hard_restarts_with_warmup,
    "cosine_with_warmup": cosine_with_warmup,
    "exponential": exponential,
    "multi_step": multi_step,
    "step": step,
}
_OF_UPDATES: dict[str, Callable[..., Schedule]] = {
    "linear_with_warmup": linear_with_warmup,
    "noam": noam,
    "polynomial_decay": polynomial_decay,
}


def _child(where: str, lr: float, epochs: int, per_epoch: int, begin: int, config: Mapping[str, Any]) -> Schedule:
    """Return the scheduler from update `begin` on, where it is built with the rate `lr`."""
    given = dict(config)
    name = given.pop("type", None)
    build = {**_OF_EPOCHS, **_OF_UPDATES, "slanted_triangular": slanted_triangular}.get(str(name))
    if build is None:
        known = ", ".join(map(repr, sorted([*_OF_EPOCHS, *_OF_UPDATES, "slanted_triangular"])))
        got = repr(name) if "type" in config else f"only {', '.join(map(repr, config)) or 'nothing'}"
        raise ValueError(f"{where}['type'] must be one of {known}, got {got}")
    own: dict[str, Any] = {"num_steps_per_epoch": per_epoch} if name != "noam" else {}
    if name in ("linear_with_warmup", "polynomial_decay", "slanted_triangular"):
        own |= {"num_epochs": epochs}
    given = argument_section(where, build, given, but=("lr", *own), neutral={"last_epoch": (-1,)})
    if name == "slanted_triangular":
        must(begin == 0, f"{where}['type']", "another one: AllenNLP divides by zero if it is not the first", name)
    late_by = begin if name in _OF_UPDATES else per_epoch if begin else 0
    return late(build(lr, **given, **own), late_by)


@checked
def combined(
    lr: Rate,
    schedulers: Annotated[
        Sequence[tuple[int, Mapping[str, Any]]],
        Many(Items((Int(low=1), OneOf(Mapping, "a dictionary")), "a pair of a number of epochs and a dictionary")),
    ],
    num_steps_per_epoch: Length,
) -> Schedule:
    """Schedulers one after the other; each takes the rate that it finds for that of the optimizer.

    Two quirks of AllenNLP are kept. A scheduler of epochs that is not the first begins with its epoch 1. A scheduler of
    updates goes on counting from the start of the training, though its length is that of its own epochs.

    Args:
        lr: the optimizer's learning rate, >= 0.
        schedulers: pairs of a number of epochs, >= 1, and the arguments of a scheduler, with its name as "type".
        num_steps_per_epoch: updates of an epoch.

    Raises:
        TypeError: an item is no such pair.
        ValueError: a name is unknown, or "slanted_triangular" is not the first, where AllenNLP divides by zero.

    Examples:
        >>> s = combined(1.0, [(2, {"type": "exponential", "gamma": 0.5}), (2, {"type": "constant"})], 10)
        >>> s(5), s(15), s(25), s(95)
        (1.0, 0.5, 0.5, 0.5)
    """
    where = "combined(schedulers=...)"
    parts: list[Schedule] = []
    begin, n = 0, num_steps_per_epoch
    for i, (epochs, given) in enumerate(schedulers):
        part, steps = _child(f"{where}[{i}][1]", lr, epochs, n, begin, given), epochs * n
        parts.append(cut(part, steps))
        lr = part(steps - 1)
        begin += steps
    return Schedule.sequence([*parts, Constant(lr)])
