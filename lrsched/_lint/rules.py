"""The rules: each looks at a schedule on its run and yields what does not fit, with ways to mend it."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from lrsched._curves import (
    Chain,
    Constant,
    Epochs,
    Hold,
    Logarithmic,
    Product,
    Schedule,
    Shift,
    Stretch,
    Triangular,
    clip,
)
from lrsched._draw.axis import number
from lrsched._lint import cures
from lrsched._lint.codes import Remark, said
from lrsched._lint.course import Course, nodes
from lrsched._lint.cures import Cure, fitted, is_nothing, joined, scaled

# Float32 counts exactly to here.
_COUNTED = 2**24
# A length of at most so many steps may be one of epochs, and one of more is none; a run of less than so many times the
# length says nothing.
EPOCHS, TIMES = 1000, 10
# Below this part of the highest rate nothing is learned any more.
_NOTHING = 1e-4
# A warm-up that multiplies a decay reaches no more than such a part of the optimizer's rate.
_LESS = 0.9
# Two numbers up to the first look like two rates, and not like a rate and a part of it; a factor of a known rate does
# up to the second.
_RATE, _FACTOR = 0.01, 0.03
# Joints of a chain that are looked at.
_JOINTS = 100
# What DeepSpeed takes for `warmup_max_lr` where it is not given.
_DEEPSPEED = 0.001


class Finding(NamedTuple):
    """A remark whose suggestion is still open, and ways to make it."""

    remark: Remark
    cures: tuple[Cure, ...]


def _found(code: str, *ways: Cure, severity: str = "", **numbers: Any) -> Finding:
    return Finding(said(code, "", severity, **numbers), ways)


def nothing(c: Course) -> Iterator[Finding]:
    """Yield where the rate is 0."""
    s = c.schedule
    if not c.samples.values.any() and c.zeros in (c.total, 0):
        yield _found("never-above-zero", steps=c.total, many=c.many)
        return
    if z := c.leading:
        lost = f": {z * c.per_epoch} updates are lost" if c.epochs and c.per_epoch else ""
        long = min(filter(None, (c.per_epoch, c.stride)), default=0)
        if c.epochs:
            which = "epoch 0 is" if z == 1 else f"epochs 0 to {z - 1} are"
        else:
            which = f"updates 0 to {z - 1}, a whole epoch, are"
        if c.epochs or 1 < long <= z:
            yield _found(
                "first-epoch-zero", lambda: Shift(s, z), which=which, lost=lost, one=c.one, first=z, rate=c.rate(z)
            )
        else:
            which = "update 0 has" if z == 1 else f"updates 0 to {z - 1} have"
            then = f"; update {z} is the first that moves, with {c.rate(z)}"
            yield _found("first-update-zero", lambda: Shift(s, z), which=which, then=then)
    if c.zeros > max(2, 0.01 * c.total) and (c.steps or c.end):
        ways: list[Cure] = [lambda: Shift(s, c.leading)] if c.leading else []
        ways += fitted(c, c.total) if c.trailing else []
        share = 100 * c.zeros / c.total
        yield _found(
            "rate-zero",
            *ways,
            lambda: clip(s, low=float(f"{0.01 * c.top:.6g}")),
            zeros=c.zeros, steps=c.total, many=c.many, part=share,
        )  # fmt: skip
    for node in nodes(s):
        for part, start in zip(node.parts, node.starts, strict=True) if isinstance(node, Chain) else ():
            if is_nothing(part):
                yield _found(
                    "from-nothing-to-nothing",
                    lambda: cures.without_nothing(s),
                    part=repr(part), steps=part.length, many=c.many, start=start,
                )  # fmt: skip
                return


def heights(c: Course) -> Iterator[Finding]:
    """Yield what is odd about the rates."""
    s, top = c.schedule, c.summit
    values, steps = c.samples.values, c.samples.steps
    if (low := float(values.min())) < 0.0:
        at = int(steps[np.argmin(values)])
        yield _found("negative-rate", lambda: clip(s, low=0.0), rate=number(low), step=at)
    if top > 1.0:
        whole = bool((values == np.rint(values)).all())  # as numbers of samples or tokens are
        yield _found(
            "rate-above-one",
            lambda: clip(s, high=1.0),
            severity="warning" if top > 100.0 and not whole else "", peak=number(top), one=c.one, step=c.peak,
        )  # fmt: skip
    if 0.0 < top < 1e-8:
        goal = c.lr if c.lr and c.lr >= 1e-8 else 1e-3
        yield _found("rate-tiny", lambda: _times(s, goal, top), peak=number(top))
    lr = c.lr
    if top <= 0.0 or (lr is not None and _LESS * lr <= top <= lr * (1 + 1e-6)):
        return
    rate = 1e-3 if lr is None else lr
    if isinstance(s, Product):
        fixed = math.prod(part.value for part in s.parts if isinstance(part, Constant))
        known = lr is not None and abs(fixed - lr) <= 1e-6 * lr
        rest = [part for part in s.parts if not isinstance(part, Constant)]
        if rest and 0.0 < fixed < 1.0 and top <= (_FACTOR if known else _RATE) * fixed and (known or fixed <= _RATE):
            yield _found(
                "looks-like-rate",
                lambda: rest[0] if len(rest) == 1 else Product(tuple(rest)),
                rate=number(fixed), factor=number(top / fixed), peak=number(top),
            )  # fmt: skip
            return
    factor = abs(top - 1.0) <= 1e-9
    if factor and rate <= 0.5:
        own = "the optimizer's rate" if lr is None else f"the optimizer's rate {number(lr)}"
        times = "1" if lr is None else f"{1 / lr:.4g} times as high"
        yield _found(
            "looks-like-factor",
            lambda: float(rate) * s,
            severity="" if lr is None else "error", own=own, times=times,
        )  # fmt: skip
    elif lr is not None and top == _DEEPSPEED and _of_deepspeed(s):
        own = f"the optimizer's {number(lr)}"
        yield _found("default-peak", lambda: _times(s, rate, top), peak=number(top), name="warmup_max_lr", own=own)
    elif lr is not None:
        yield _found(
            "peak-differs",
            lambda: _times(s, rate, top), peak=number(top), one=c.one, step=c.peak, lr=number(lr), times=lr / top,
        )  # fmt: skip


def _times(s: Schedule, goal: float, top: float) -> Schedule:
    return float(f"{goal / top:.12g}") * s


def _of_deepspeed(s: Schedule) -> bool:
    first = s.parts[0] if isinstance(s, Chain) else s
    return any(isinstance(node, Logarithmic) for node in nodes(s)) or (
        isinstance(s, Chain) and isinstance(first, Constant) and first.steps == 1
    )


def joints(c: Course) -> Iterator[Finding]:
    """Yield jumps where one part of a chain ends and the next begins, but for stairs and restarts."""
    for chain in nodes(c.schedule):
        for i, step in enumerate(chain.starts[1 : _JOINTS + 1], start=1) if isinstance(chain, Chain) else ():
            assert isinstance(chain, Chain)
            left, right = chain.parts[i - 1], chain.parts[i]
            after = isinstance(right, Constant) and right.steps is None  # what comes after the end, of some libraries
            if step == 1 or (c.steps or c.end or step) < step + after or (after and isinstance(left, Constant)):
                continue
            if isinstance(left, Constant) and isinstance(right, Constant):
                continue
            ends, begins = left(left.length or 0), right(0)
            near = max(abs(chain(step - 1) - chain(max(step - 2, chain.starts[i - 1]))), abs(chain(step + 1) - begins))
            size = max(abs(v) for v in (left(0), ends, begins))
            gap = abs(begins - ends)
            rising = left(0) < ends and not isinstance(left, Constant)
            if gap <= max(0.01 * size, 2 * near) or (begins > ends and not rising):
                continue
            where: dict[str, Any] = {"before": number(chain(step - 1)), "after": number(begins), "step": step}
            ways = joined(c.schedule, chain, i)
            if rising:
                yield _found("jump-after-warmup", *ways, **where)
            else:
                names = {"left": type(left).__name__, "right": type(right).__name__}
                yield _found("jump-at-joint", *ways, **where, **names)
            return


def units(c: Course) -> Iterator[Finding]:
    """Yield whether lengths are those of another unit."""
    s, n, e, end = c.schedule, c.steps, c.per_epoch, c.end
    if c.epochs and e == c.stride > 1:  # other strides are stairs
        inner = [node.schedule for node in nodes(s) if isinstance(node, Epochs)]
        what, run = f"Epochs(..., {e})", f"it makes {e} of each"
        yield _found("length-looks-like-updates", lambda: inner[0], what=what, how="", run=run)
        return
    if not end or end < 2:
        return
    what = f"a length of {end}"
    if c.epochs:
        long = end > EPOCHS
        exact = bool(n and e and e > 1 and abs(end - n * e) < e)
        near = end >= TIMES * n and end % n == 0 if n else bool(e and e > 1 and end % e == 0)
        if exact or (long and near):
            each = e or (end // n if n else 1)
            updates = f", of {e} updates each" if e else ""
            run = f"the training has {n} of them{updates}" if n else f"an epoch has {each} updates"
            yield _found(
                "length-looks-like-updates",
                lambda: scaled(s, 1 / each),
                lambda: Stretch(s, factor=1 / each),
                severity="" if exact else "warning", what=what, how="", run=run,
            )  # fmt: skip
        return
    if s(end) >= 0.5 * c.summit:
        return
    exact = bool(n and e and e > 1 and abs(end * e - n) < e)
    if n is None:
        near = bool(e and e > TIMES * end)
    else:
        near = n >= TIMES * end and (2 * end * e > n >= end * e if e else n % end == 0)
    if exact or (end <= EPOCHS and near):
        each = e or (n // end if n else 1)
        run = f"the training has {n} of them, {n / end:.5g} times as many" if n else f"an epoch has {each} of them"
        yield _found(
            "length-looks-like-epochs",
            lambda: Epochs(s, each),
            severity="" if exact else "warning", what=what, many=c.many, run=run,
        )  # fmt: skip


def warm_up(c: Course) -> Iterator[Finding]:
    """Yield whether the warm-up fits the run."""
    s, n, peak = c.schedule, c.steps, c.peak
    steps, values = c.whole
    until = values[steps <= peak]
    if n is None or peak == 0 or np.any(np.diff(until) < 0.0) or (s.length is not None and peak >= s.length):
        return
    if s(2 * peak + 2) > c.summit * (1 + 1e-9):  # it rises without end, or in stairs
        return
    if peak >= n and c.top < c.summit * (1 - 1e-3):
        most = max(n // 10, 1)
        yield _found(
            "warmup-longer-than-training",
            lambda: cures.with_warm_up(c, most),
            lambda: scaled(s, 0.1 * n / peak),
            lambda: Stretch(s, factor=0.1 * n / peak),
            warmup=peak, steps=n, many=c.many, rate=c.rate(c.last), part=100 * s(c.last) / c.summit,
        )  # fmt: skip
        return
    high = int(steps[np.argmax(values >= 0.99 * c.summit)])
    if high > 0.5 * n:
        yield _found(
            "warmup-more-than-half",
            lambda: cures.with_warm_up(c, max(n // 10, 1)),
            lambda: Stretch(s, factor=0.1 * n / peak),
            warmup=peak, steps=n, many=c.many, part=100 * peak / n,
        )  # fmt: skip


def ends(c: Course) -> Iterator[Finding]:
    """Yield how the end of the curve and that of the run fit together."""
    if c.steps is None or not c.samples.values.any() or any(units(c)):
        return
    beyond = any(f.remark.code == "warmup-longer-than-training" for f in warm_up(c))
    s, n, end, now = c.schedule, c.steps, c.end, c.schedule(c.last)
    if c.cycle is not None:
        begin, after = c.cycle
        low = s(after - 1)
        if n < after - 1 and now > low + 0.1 * abs(s(begin) - low):
            where = f"step {c.last - begin} of {after - begin}"
            yield _found(
                "cut-cycle",
                lambda: Stretch(s, factor=n / after), lambda: scaled(s, n / after), rate=number(now), where=where,
            )  # fmt: skip
            return
    if s.length is None and any(isinstance(node, Triangular) for node in nodes(s)):
        least = float(c.samples.values.min())
        if now > (c.top + least) / 2:
            later = [t for t in c.whole.steps.tolist() if t > n and s(t) <= least + 0.1 * (c.top - least)]
            ways = [lambda t=t: Stretch(s, factor=n / t) for t in later[:1]]
            yield _found("cut-cycle", *ways, rate=number(now), where="the upper half")
        return
    if (bottom := _rises(c)) is not None:
        yield _found("rises-after-end", lambda: Hold(s, bottom), low=bottom, rate=number(now), step=c.last)
    elif end is not None and end < n:
        yield from _held(c, end, now)
    elif end is not None and not beyond:
        yield from _missed(c, end, now)


def _rises(c: Course) -> int | None:
    """Return the step of the lowest rate after which an endless curve rises to the end of the run, or None."""
    steps, values = c.samples
    if c.schedule.length is not None or c.top <= 0.0:
        return None
    after = values[np.argmax(values) :]
    low = values.size - int(np.argmin(after[::-1])) - 1
    late = values[low:]
    if late[-1] > late[0] + 0.1 * c.top and low > np.argmax(values) and np.all(np.diff(late) >= 0.0):
        return int(steps[low])
    return None


def _held(c: Course, end: int, now: float) -> Iterator[Finding]:
    n = c.total
    zero, left = now == 0.0, c.trailing or n - end
    if zero and left == 1:
        lost = f": {c.per_epoch} updates are lost" if c.epochs and c.per_epoch else ""
        yield _found(
            "last-update-zero",
            *fitted(c, n), severity="warning" if c.epochs and n > 1 else "", one=c.one, step=c.last, lost=lost,
        )  # fmt: skip
    elif zero or (now < c.top and not c.stairs and left > 1):
        grave = now <= _NOTHING * c.top or (2 * end < n and now < 0.5 * c.top)
        yield _found(
            "ends-before-training",
            *fitted(c, n), severity="warning" if grave else "", left=left, steps=n, many=c.many, rate=number(now),
        )  # fmt: skip


def _missed(c: Course, end: int, now: float) -> Iterator[Finding]:
    n, s = c.total, c.schedule
    gap = abs(now - s(end))
    if end > n + 1 and gap > 0.01 * c.summit:
        yield _found("ends-after-training", *fitted(c, n), rate=number(now), part=now / c.summit, end=end)
    elif gap > 0.0:
        grave = c.stairs and gap > 0.01 * c.summit
        yield _found(
            "last-value-missed",
            *fitted(c, max(n - 1, 1)),
            severity="warning" if grave else "",
            one=c.one, step=c.last, rate=number(now), end_rate=c.rate(end), end=end,
        )  # fmt: skip


def shape(c: Course) -> Iterator[Finding]:
    """Yield whether the curve does what its parts promise."""
    s, n = c.schedule, c.steps
    values = c.whole.values
    if not isinstance(s, Constant) and c.summit > 0.0 and np.ptp(values) == 0.0:
        held = s.length
        yield _found("never-changes", lambda: Constant(s(0), steps=held), many=c.many, last=c.last, rate=c.rate(0))
        return
    if n is None or c.top <= 0.0:
        return
    now = s(c.last)
    if now >= c.top * (1 - 1e-9) and 0 < c.peak < c.last and c.end is not None and c.end < n:
        yield _found("never-falls", *cures.cooled(c), rate=number(now), left=n - c.peak, many=c.many)
    if s.length is None and c.end is None and 0.0 <= now < _NOTHING * c.top and s(0) > 0.0:
        fallen = next((t for t in c.samples.steps.tolist() if t > 0 and s(t) <= 0.01 * c.top), n)
        each = c.per_epoch
        ways: list[Cure] = [lambda: Epochs(s, each)] if each and not c.epochs else []
        ways.append(lambda: Stretch(s, factor=float(f"{n / fallen:.6g}")))
        yield _found("decays-per-update", *ways, steps=n, many=c.many, rate=number(now), part=now / s(0))


def counting(c: Course) -> Iterator[Finding]:
    """Yield whether a part counts more steps than float32 can."""
    if c.clock > _COUNTED:
        yield _found("float32-cannot-count", lambda: cures.coarser(c, _COUNTED), steps=c.clock)


Rule = Callable[[Course], Iterator[Finding]]
RULES: tuple[Rule, ...] = (nothing, units, warm_up, ends, joints, heights, shape, counting)
