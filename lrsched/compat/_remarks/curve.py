"""Remarks that are read off the evaluated curve of any library."""

from collections.abc import Callable, Iterator

from lrsched._draw.axis import number
from lrsched._lint.codes import Remark, said
from lrsched.compat._remarks.facts import TINY, Call
from lrsched.compat._remarks.table import BATCHES, LEFT

# A rate below this part of the first is next to nothing.
_NOTHING = 1e-4
# Updates that are looked at where nothing is said about the training.
_SOME = 1000


def _written(call: Call, name: str) -> str:
    return f"{name}={call.arguments[name]!r}"


def warm_up(call: Call) -> Iterator[Remark]:
    """Yield what the first updates do."""
    s, w = call.schedule, call.warmup
    if s(0) == 0.0 < call.top:
        first = next((t for t in range(1, 4) if s(t) > 0.0), 0)
        then = f"; {call.one} {first} is the first that moves, with {number(s(first))}" if first else ""
        wanted = "to begin with a step of the line, as torchtitan and OLMo-core do, use Shift(schedule, 1)"
        yield said("first-update-zero", wanted, which=f"{call.one} 0 has", then=then)
    twice = w >= 2 and s(0) == s(1) < s(2)
    if twice:
        yield Remark(
            "first-rate-twice",
            f"{call.many} 0 and 1 both have {number(s(0))}",
            "Shift(schedule, 1) leaves the first of them out",
        )
    if w >= 2 and s(0) > s(1) < s(2):
        yield Remark(
            "first-update-high",
            f"{call.one} 0 has {number(s(0))}, the optimizer's own rate, before the warm-up begins with {number(s(1))}",
            "build the optimizer with the warm-up's first rate, or use Shift(schedule, 1)",
        )
    if w >= 2 and call.peak in (w - 1, w + 1) and not twice:
        name = _written(call, call.convention.warmup)
        yield Remark(
            "warmup-index",
            f"with {name} the top is reached by {call.one} {call.peak}; transformers, Optax, Keras and Megatron reach "
            f"it with {call.one} {w}",
            f"for theirs count {'one more' if call.peak < w else 'one less'} and compare with lrsched.equality",
        )
    if w >= 3 and 2 * max(abs(s(w - 1) - s(w - 2)), abs(s(w + 1) - s(w))) < abs(s(w) - s(w - 1)):
        yield said(
            "jump-after-warmup",
            "let the warm-up end at the first rate of what follows",
            before=number(s(w - 1)), after=number(s(w)), step=w,
        )  # fmt: skip
    rate = call.rate
    if rate and call.top < rate * (1 - 1e-3):
        yield Remark(
            "peak-not-reached",
            f"the highest rate is {number(call.top)}, at {call.one} {call.peak}; {call.convention.rate}={rate!r} is "
            "never used",
            "with timm set warmup_prefix=True; elsewhere shorten the warm-up, or see the formula in the docstring",
        )


def length(call: Call) -> Iterator[Remark]:
    """Yield what the length means."""
    w, n, s = call.warmup, call.length, call.schedule
    if call.convention.kind != "fall" or not n:
        return
    inside = call.includes
    if inside:
        if w >= n:
            yield Remark(
                "warmup-cut-off",
                f"{call.asking()} holds the warm-up of {w} steps, which leaves no step for the decay",
                f"count the warm-up in: {call.asking(w + n)} decays for {n} steps",
            )
            return
        yield Remark(
            "length-includes-warmup",
            f"{call.asking()} holds the warm-up: the decay has {n - w} steps and ends at step {call.low}",
            f"Keras' CosineDecay, torch's SequentialLR and timm's warmup_prefix=True do not count it in; for {n} steps "
            f"of decay write {call.asking(n + w)}",
        )
    elif inside is False:
        yield Remark(
            "length-excludes-warmup",
            f"{call.asking()} does not hold the warm-up: all in all it takes {w + n} steps and ends at step {call.low}",
            f"Optax, transformers, Megatron, DeepSpeed and detectron2 count it in; for {n} steps in all "
            f"write {call.asking(max(n - w, 1))}",
        )
    stop = call.stop
    reached = abs(call.bottom - call.end) <= 1e-9 * call.top and call.top > call.bottom and not call.restarts
    if not reached or s(stop) > 0.99 * call.top:
        return
    if call.low == stop - 1:
        yield Remark(
            "end-at-last-update",
            f"the last rate, {number(call.bottom)}, is used by {call.one} {call.low}, the last of {stop}: the "
            "denominator is one less than the length",
            "most libraries reach it one step later, after the last update",
        )
    elif call.low == stop + 1:
        yield Remark(
            "ends-one-late",
            f"a training of {stop} {call.many} ends with {number(s(stop - 1))}; {number(call.bottom)} is reached at "
            f"step {call.low}",
            "most libraries reach it one step earlier",
        )
    elif call.low < stop - 1:
        yield Remark(
            "ends-early",
            f"the last rate, {number(call.bottom)}, is reached at step {call.low} of {stop}",
            "look at what is taken out of the length; nanotron subtracts the warm-up twice",
        )


def end(call: Call) -> Iterator[Remark]:
    """Yield what comes after the end."""
    kind, s = call.convention.kind, call.schedule
    ended = call.horizon is None or call.horizon > call.length
    if call.convention.raises and call.length and ended:
        yield Remark(
            "raises-after-end",
            f"{call.library} raises after {call.length} steps; here {number(s(call.length))} is held",
            f"make {call.convention.length} the number of {call.many} of the training",
            "error" if call.horizon else "info",
        )
    lowest = min(call.after, key=lambda item: item[1], default=(0, 0.0))
    if lowest[1] < -TINY * call.top:
        yield Remark(
            "negative-after-end",
            f"the rate falls below 0 after step {call.low}: {number(lowest[1])} at step {lowest[0]}",
            "cut it: Hold(schedule, n) holds the value of step n, clip(schedule, low=0.0) its height",
            "error" if call.horizon else "info",
        )
    if kind != "fall" or not call.length:
        return
    if call.restarts and call.low + 1 < (call.horizon or call.low + 2):
        yield Remark(
            "restarts-after-end",
            f"the curve begins anew: {number(call.bottom)} at step {call.low}, {number(s(call.low + 1))} at the next",
            "where one decay is meant, make the length at least that of the training",
            "warning" if call.horizon else "info",
        )
    else:
        highest = max(call.after, key=lambda item: item[1], default=(0, 0.0))
        if highest[1] > call.bottom + 1e-9 * call.top and call.low >= call.warmup:
            yield said(
                "rises-after-end",
                f"stop there, or hold it: Hold(schedule, {call.low})",
                "warning" if call.horizon else "info",
                low=call.low, rate=number(highest[1]), step=highest[0],
            )  # fmt: skip


def training(call: Call) -> Iterator[Remark]:
    """Yield how the length fits the number of updates."""
    n, h, epoch, s = call.length, call.horizon, call.epoch, call.schedule
    if h is None or not n or call.convention.kind in ("factor", "slow"):
        return
    name, unit = call.convention.length, call.convention.unit
    if unit == "epoch":
        if n == h and (epoch or 2) > 1:
            yield said(
                "length-looks-like-updates",
                f"step the scheduler every update, or write the number of epochs{f', {h // epoch}' if epoch else ''}",
                "" if epoch else "warning",
                what=_written(call, name), how=" by default", run=f"the training has {h} updates",
            )  # fmt: skip
        return
    alike = n <= _SOME and h >= 10 * n and h % n == 0 if epoch is None else epoch > 1 and n * epoch == h
    if alike:
        yield said(
            "length-looks-like-epochs",
            f"if these are epochs, step the scheduler once an epoch or write {name}={h}",
            "" if epoch else "warning",
            what=_written(call, name), many=call.many, run=f"the training has {h} of them, {h // n} times as many",
        )  # fmt: skip
    elif call.convention.kind == "cycle":
        if s(h - 1) > (call.top + call.bottom) / 2:
            wanted = "choose the cycles so that the last one ends with the training"
            yield said("cut-cycle", wanted, rate=number(s(h - 1)), where="the upper half")
    elif call.convention.kind == "fall" and call.low + 1 < h and not (call.restarts or _rises(call)):
        yield said(
            "ends-before-training",
            f"make {name} fit the training",
            "warning" if call.bottom <= _NOTHING * call.top else "",
            left=h - call.low, steps=h, many=call.many, rate=number(call.bottom),
        )  # fmt: skip
    elif (
        call.convention.kind in ("fall", "one-cycle") and call.low > h + 1 and s(h - 1) > call.bottom + 0.01 * call.top
    ):
        yield said(
            "ends-after-training",
            f"make {name} fit the training",
            rate=number(s(h - 1)), part=s(h - 1) / call.top, end=call.low,
        )  # fmt: skip


def _rises(call: Call) -> bool:
    return any(value > call.bottom + 1e-9 * call.top for _, value in call.after)


def height(call: Call) -> Iterator[Remark]:
    """Yield what the last rate is."""
    c = call.convention
    named = [name for name in (c.end, c.part) if name]
    falls = c.kind == "fall" and call.low > call.peak
    if falls and named and not call.given & set(named) and call.bottom > 0 and not call.restarts:
        yield Remark(
            "default-floor",
            f"the last rate is {number(call.bottom)}, by the default {_written(call, named[-1])}",
            f"write {named[-1]}=0.0 for a decay to 0",
        )
    end, part, rate = call.number(c.end), call.number(c.part), call.rate
    if c.kind in ("fall", "cycle") and end is not None and rate is not None and end > rate:
        yield Remark(
            "end-above-rate",
            f"{_written(call, c.end)} is above {c.rate}={rate!r}: the rate rises",
            f"it is a rate, not a part of one: give one below {number(rate)}",
        )
    if part and rate and c.part in call.given and 0 < part <= 0.1 * rate != 0.1:
        yield Remark(
            "part-looks-like-rate",
            f"{_written(call, c.part)} is a part of {number(rate)}: the last rate is {number(part * rate)}",
            f"for a last rate of {number(part)} write {c.part}={part / rate:.6g}",
        )
    last = call.schedule(call.stop)
    if c.kind == "fall" and call.length > 1 and last > 0.99 * call.top > call.bottom and not call.restarts:
        yield Remark(
            "whole-wave",
            f"the curve ends with {number(last)} at step {call.stop}, as high as it was",
            "a number of cycles of 0.5 is half a wave, which ends low",
        )


def pace(call: Call) -> Iterator[Remark]:
    """Yield how fast a decay without end is."""
    s, steps = call.schedule, call.horizon or _SOME
    if call.convention.kind == "factor" and s(steps - 1) < _NOTHING * s(0):
        base = call.number("gamma") or call.number("decay_rate")
        per = f"{base ** (1 / call.epoch):.8g}" if base and call.epoch else f"gamma ** (1 / {call.many} of an epoch)"
        yield said(
            "decays-per-update",
            f"a factor of each epoch is stepped once an epoch; as a factor of each {call.one} it is {per}",
            steps=steps, many=call.many, rate=number(s(steps - 1)), part=s(steps - 1) / s(0),
        )  # fmt: skip
    later = call.horizon - 1 if call.horizon else call.peak + _SOME
    if call.convention.kind == "slow" and later > call.peak and s(later) > 0.95 * call.top:
        yield Remark(
            "nearly-flat",
            f"at {call.one} {later} the rate is still {s(later) / call.top:.1%} of the highest",
            "give a time scale that is shorter than the training",
        )


def units(call: Call) -> Iterator[Remark]:
    """Yield what one step is, where it is no update."""
    unit = call.convention.unit
    if unit == "epoch":
        yield Remark(
            "unit-is-epochs",
            f"{call.library} counts epochs by default: one step of this schedule is one epoch",
            "Epochs(schedule, n) has n updates to a step" if call.epoch is None else f"Epochs(schedule, {call.epoch})",
        )
    elif unit == "sample":
        yield Remark(
            "unit-is-samples",
            f"{call.library} is stepped by the batch size: its lengths are numbers of samples",
            "divide them by the global batch size to get updates",
        )
    elif call.batches != 1:
        yield _batches(call)


def _batches(call: Call) -> Remark:
    n, name = call.batches, call.convention.length
    last = f"; the last update of {LEFT[call.library]} has the batches left" if call.library in LEFT else ""
    if not n:
        return Remark(
            "counts-batches",
            f"{call.library} counts batches: with {BATCHES[call.library]} update j uses step n * j + n - 1{last}",
            "Batches(schedule, n) has the rates of the updates; multiply lengths in updates by n",
        )
    takes = f", and {_written(call, name)} takes {call.length / n:.6g} updates" if call.length else ""
    longer = f"; for {call.length} updates write {call.asking(n * call.length)}" if call.length else ""
    return Remark(
        "counts-batches",
        f"{call.library} counts batches: update j uses step {n} * j + {n - 1}{takes}{last}",
        f"Batches(schedule, {n}) has the rates of the updates{longer}",
    )


RULES: tuple[Callable[[Call], Iterator[Remark]], ...] = (units, warm_up, length, height, pace, end, training)
