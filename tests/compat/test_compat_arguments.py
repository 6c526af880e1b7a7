"""Every argument of every function of compat is held to something: those of `**rest` too, and those without effect."""

import inspect
import re

import compat_samples as samples
import pytest

from lrsched import Schedule, compat
from lrsched.arguments import constraints_of, without_effect


def calls():
    for library in dir(compat):
        for name, named in samples.sampled(library).items():
            yield library, name, getattr(getattr(compat, library), name), named


def free(function):
    """Return the name of `**rest`, or None, and the names that the docstring gives for it in backticks."""
    rest = next((p.name for p in inspect.signature(function).parameters.values() if p.kind is p.VAR_KEYWORD), None)
    words = re.search(rf"\*\*{rest}: (.*?)(?=\n\s+\w+: |\n\n|\Z)", inspect.getdoc(function) or "", re.DOTALL)
    return rest, re.findall(r"`(\w+)(?:=[^`]*)?`", words[1]) if words else []


FREE = [(library, name) for library, name, function, _ in calls() if free(function)[0]]


class Wrong:
    """No value of any argument."""


def build(library, name, /, **more):
    named = samples.sampled(library)[name]
    arguments = {key: samples.built(library, value) for key, value in named.items()}
    return getattr(getattr(compat, library), name)(**{**arguments, **more})


@pytest.mark.parametrize(("library", "name"), FREE, ids=lambda part: part)
def test_an_unknown_argument_is_refused_by_name(library, name):
    with pytest.raises(TypeError, match="no_such_argument"):
        build(library, name, no_such_argument=1)


@pytest.mark.parametrize(("library", "name"), FREE, ids=lambda part: part)
def test_what_has_no_effect_is_held_to_its_kind(library, name):
    for argument in free(getattr(getattr(compat, library), name))[1]:
        if argument in ("Shared", "lr") or "lrsched" in argument:
            continue
        with pytest.raises((TypeError, ValueError), match=argument):
            build(library, name, **{argument: Wrong()})


def test_there_are_functions_with_free_arguments():
    assert ("timm", "CosineLRScheduler") in FREE
    assert "noise_seed" not in free(compat.timm.StepLRScheduler)[1] or len(FREE) > 10


SCHEDULES = [
    (library, name) for library, name, function, named in calls() if isinstance(build(library, name), Schedule)
]


@pytest.mark.parametrize(("library", "name"), SCHEDULES, ids=lambda part: part)
def test_each_argument_refuses_each_kind_of_wrong_value(library, name):
    for argument, rule in constraints_of(getattr(getattr(compat, library), name)).items():
        for wrong in rule.wrong():
            # A tuple that is too short may be noticed in the argument that goes with it.
            with pytest.raises((TypeError, ValueError), match=r"\(\w+=\.\.\.\)"):
                build(library, name, **{argument: wrong})


def test_a_misspelled_argument_is_told_its_neighbour():
    with pytest.raises(
        TypeError, match=r"f\(\) got an unexpected argument 'warmup_stepz': 'warmup_steps' is one, is that"
    ):
        without_effect("f", {"warmup_stepz": 1}, ("warmup_steps",))
