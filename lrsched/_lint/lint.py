"""`lint`: whether a schedule fits a run."""

from dataclasses import replace
from functools import partial
from typing import Annotated

from lrsched._core.check import Choice
from lrsched._curves import Complete, Schedule, parse
from lrsched._lint.codes import SEVERITIES, Remark
from lrsched._lint.course import Course
from lrsched._lint.cures import Cure, standard
from lrsched._lint.rules import EPOCHS, RULES, Finding, Rule
from lrsched.arguments import LengthOrNone, PositiveOrNone, checked


@checked
def lint(
    schedule: Annotated[Schedule, Complete()],
    *,
    steps: LengthOrNone = None,
    unit: Annotated[str, Choice(("update", "epoch"))] = "update",
    steps_per_epoch: LengthOrNone = None,
    lr: PositiveOrNone = None,
) -> list[Remark]:
    """What does not fit between a schedule and the run that it is meant for.

    Each remark has a code, a message, a suggestion and a severity. The suggestion is the text of another schedule, for
    `parse`, of which the same code is no longer said. An error is a mistake in all likelihood, a warning is one unless
    it is meant; the schedules that trainers recommend have neither. Values are read off the exact schedule at some
    thousand steps, so a run of 10^12 updates takes no longer than one of 10^5.

    Args:
        schedule: any schedule.
        steps: length of the run, in `unit`; None where it is not known. With `unit="epoch"` and `steps_per_epoch`, a
            multiple of that above 1000, or that many times the schedule's length, is taken as a number of updates.
        unit: what one step of the schedule is, "update" or "epoch": how often the training steps it.
        steps_per_epoch: updates of one epoch; None where it is not known.
        lr: the optimizer's own rate, which the highest rate of the schedule is compared with (a tenth less is no
            difference, as where a warm-up multiplies a decay); None for no comparison.

    Returns:
        The remarks, the gravest first; an empty list for a schedule that fits.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: a number is out of range, the unit is unknown, or the schedule lacks a height.

    Examples:
        >>> from lrsched import Cosine, Warmup, lint
        >>> schedule = Warmup(5) >> Cosine(0.1, 0.0, steps=80)
        >>> for remark in lint(schedule, steps=90, unit="epoch", steps_per_epoch=500):
        ...     print(f"{remark.severity}: {remark.message}")
        error: epoch 0 is trained at the rate 0: 500 updates are lost; epoch 1 is the first that moves, with 0.02
        warning: 5 of 90 epochs, 5.56 %, have the rate 0
        warning: the last 5 of 90 epochs all have the rate 0
        >>> lint(schedule, steps=90, unit="epoch", steps_per_epoch=500)[2].suggestion
        'Linear(0.0, 0.1, steps=5) >> Cosine(0.1, 0.0, steps=85)'
    """
    course = Course(schedule, steps, steps_per_epoch, unit == "epoch", lr)
    each = steps_per_epoch or 1
    counted = steps is not None and (steps > EPOCHS or steps == each * (course.end or 0))
    if steps and course.epochs and counted and each > 1 and steps % each == 0:
        course = replace(course, steps=steps // each)
    found = [_suggesting(course, rule, finding) for rule in RULES for finding in rule(course)]
    return sorted(found, key=lambda remark: SEVERITIES.index(remark.severity))


def _suggesting(course: Course, rule: Rule, finding: Finding) -> Remark:
    """Return the remark with the first of its suggestions of which it is not said again."""
    remark = finding.remark
    fits: Cure = partial(standard, course)
    for cure in (*finding.cures, fits):
        try:
            other = replace(course, schedule=cure())
            again = {found.remark.code for found in rule(other)}
            parse(repr(other.schedule))  # or a function that no text can name is part of it
        except (ArithmeticError, TypeError, ValueError):
            continue
        if remark.code not in again:
            return remark._replace(suggestion=repr(other.schedule))
    return remark
