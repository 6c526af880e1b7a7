"""Remarks: what is said of a schedule, how grave it is, and the words that `lint` and `compat.remarks` share."""

from typing import Any, NamedTuple

# From the gravest on.
SEVERITIES = ("error", "warning", "info")


class Remark(NamedTuple):
    """Something about a schedule that people trip over.

    Args:
        code: a short name of the kind of remark, always the same.
        message: what happens, in the numbers of this run or call.
        suggestion: what to write instead, or to look at; of `lint` the text of a schedule, which `parse` reads.
        severity: "error" is a mistake in all likelihood, "warning" is one unless it is meant, "info" is good to know.
    """

    code: str
    message: str
    suggestion: str
    severity: str = "info"


class LintWarning(UserWarning):
    """What an adapter has seen of a run that does not fit its schedule.

    The message begins with the code, by which a filter of warnings can tell one kind from another.
    """


class Meaning(NamedTuple):
    """What a code stands for: how grave it is, in one sentence, and the message, to be filled in."""

    severity: str
    words: str
    message: str = ""


# What `lint` says.
LINT: dict[str, Meaning] = {
    "cut-cycle": Meaning(
        "warning", "The training ends high in a cycle.", "the training ends with {rate}, in {where} of a cycle"
    ),
    "decays-per-update": Meaning(
        "warning",
        "A factor of every step leaves next to nothing after a training.",
        "after {steps} {many} the rate is {rate}, {part:.1g} of the first",
    ),
    "default-peak": Meaning(
        "warning",
        "The highest rate is a default of DeepSpeed, which overrides the optimizer's own.",
        "the highest rate is {peak}, the default of DeepSpeed's {name}, which overrides {own}",
    ),
    "ends-after-training": Meaning(
        "warning",
        "The training stops before the curve does.",
        "the training ends with {rate}, {part:.0%} of the highest rate: the curve goes on to step {end}",
    ),
    "ends-before-training": Meaning(
        "info",
        "The curve has ended before the training does; a warning where nothing is learned any more.",
        "the last {left} of {steps} {many} all have the rate {rate}",
    ),
    "first-epoch-zero": Meaning(
        "error",
        "A whole first epoch is trained at the rate 0.",
        "{which} trained at the rate 0{lost}; {one} {first} is the first that moves, with {rate}",
    ),
    "first-update-zero": Meaning("info", "The first update has the rate 0.", "{which} the rate 0{then}"),
    "float32-cannot-count": Meaning(
        "info",
        "A length is more than float32 can count, as other libraries do.",
        "a length of {steps} steps: float32 counts to 2**24 = 16777216. Here steps are counted in integers; where a "
        "library takes them as float32, as Keras and Optax do, neighbours share a rate from there on",
    ),
    "from-nothing-to-nothing": Meaning(
        "error",
        "A warm-up or cool-down goes from 0 to 0.",
        "{part} goes from nothing to nothing: {steps} {many} from step {start} on have the rate 0",
    ),
    "jump-after-warmup": Meaning(
        "warning",
        "The rate jumps where the warm-up ends.",
        "the rate jumps from {before} to {after} at step {step}, where the warm-up ends",
    ),
    "jump-at-joint": Meaning(
        "warning",
        "The rate drops where one part ends and the next begins.",
        "the rate drops from {before} to {after} at step {step}, where {left} ends and {right} begins",
    ),
    "last-update-zero": Meaning(
        "info",
        "The last update has the rate 0; a warning where it is a whole epoch.",
        "{one} {step}, the last, has the rate 0{lost}",
    ),
    "last-value-missed": Meaning(
        "info",
        "The training stops just before the last value.",
        "{one} {step}, the last, has {rate}; {end_rate} is reached at step {end}",
    ),
    "length-looks-like-epochs": Meaning(
        "error",
        "A length in updates looks like a number of epochs.",
        "{what} counts {many}, and {run}",
    ),
    "length-looks-like-updates": Meaning(
        "error",
        "A length in epochs looks like a number of updates.",
        "{what} counts epochs{how}, and {run}",
    ),
    "looks-like-factor": Meaning(
        "info",
        "The values look like parts of a rate; an error where the optimizer's own rate is known.",
        "the highest value is 1, which looks like a part of {own}: as a rate it is {times}",
    ),
    "looks-like-rate": Meaning(
        "warning",
        "What a rate is multiplied with looks like a rate, too.",
        "the rate {rate} is multiplied with what is {factor} at most, which looks like a rate: it gives {peak} at most",
    ),
    "negative-rate": Meaning(
        "error", "The rate falls below 0.", "the rate falls below 0: {rate} at step {step}, the lowest"
    ),
    "never-above-zero": Meaning(
        "error", "The rate is 0 in the whole training.", "none of the {steps} {many} has a rate above 0"
    ),
    "never-changes": Meaning(
        "info", "Several parts, and all have the same value.", "{many} 0 to {last} all have {rate}"
    ),
    "never-falls": Meaning(
        "info",
        "The training ends with the highest rate, after a warm-up.",
        "the training ends with {rate}, the highest rate: none of the {left} {many} after the warm-up has less",
    ),
    "peak-differs": Meaning(
        "warning",
        "The highest rate is not the optimizer's own.",
        "the highest rate is {peak}, at {one} {step}; the optimizer's own is {lr}, {times:.4g} times that",
    ),
    "rate-above-one": Meaning(
        "info",
        "The rate is above 1; a warning above 100, unless all are whole.",
        "the highest rate is {peak}, at {one} {step}",
    ),
    "rate-tiny": Meaning(
        "warning", "The rates are next to nothing.", "the highest rate is {peak}: nothing moves in float32"
    ),
    "rate-zero": Meaning(
        "warning",
        "More than 1 % of the training has the rate 0.",
        "{zeros} of {steps} {many}, {part:.3g} %, have the rate 0",
    ),
    "rises-after-end": Meaning(
        "warning",
        "The rate rises again after the end.",
        "the rate rises again after step {low}: {rate} at step {step}",
    ),
    "warmup-longer-than-training": Meaning(
        "error",
        "The warm-up does not end before the training does.",
        "the warm-up takes {warmup} steps and the training has {steps} {many}: it ends with {rate}, {part:.3g} % of "
        "the highest rate",
    ),
    "warmup-more-than-half": Meaning(
        "warning",
        "The warm-up takes more than half of the training.",
        "the warm-up takes {warmup} of {steps} {many}, {part:.3g} %",
    ),
}


def said(code: str, suggestion: str = "", severity: str = "", /, **numbers: Any) -> Remark:
    """Return a remark with the words of its code; `severity` where this one is of another than usual."""
    usual, _, message = LINT[code]
    return Remark(code, message.format(**numbers), suggestion, severity or usual)
