"""What people write: whole floats as lengths, NumPy's numbers, sequences and mappings of other libraries."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import compat_samples
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import schedules

import lrsched
from lrsched import compat, feedback, from_config, rules, to_config
from lrsched._core.value import Value


class OtherSequence(Sequence):
    """A sequence as OmegaConf's `ListConfig`: neither a list nor a tuple."""

    def __init__(self, items: Any) -> None:
        self.items = list(items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: Any) -> Any:
        return self.items[i]


class OtherMapping(Mapping):
    """A mapping as OmegaConf's `DictConfig`: no dict."""

    def __init__(self, items: Any) -> None:
        self.items_ = dict(items)

    def __len__(self) -> int:
        return len(self.items_)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items_)

    def __getitem__(self, key: Any) -> Any:
        return self.items_[key]


def mapped(content: Any, number: Any, sequence: Any, mapping: Any) -> Any:
    """Return a content with its numbers, sequences and mappings written otherwise."""
    if isinstance(content, bool):
        return content
    if isinstance(content, int | float):
        return number(content)
    if type(content) in (list, tuple):
        return sequence(mapped(item, number, sequence, mapping) for item in content)
    if type(content) is dict:
        return mapping({key: mapped(item, number, sequence, mapping) for key, item in content.items()})
    return content


SPELLINGS = {
    "whole floats": (float, list, dict),
    "NumPy's scalars": (np.asarray, tuple, OtherMapping),
    "arrays without axes": (np.array, OtherSequence, dict),
    "one by one": (lambda x: np.asarray(x)[()], OtherSequence, OtherMapping),
}


def otherwise(content: Any, spelling: str) -> Any:
    return mapped(content, *SPELLINGS[spelling])


def calls(library: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the functions of a library with the arguments of a sample, those that have a default too."""
    for name, named in compat_samples.sampled(library).items():
        function = getattr(getattr(compat, library), name)
        given = {key: compat_samples.built(library, value) for key, value in named.items()}
        defaults = {p.name: p.default for p in inspect.signature(function).parameters.values()}
        yield function, {**{k: v for k, v in defaults.items() if v is not inspect.Parameter.empty}, **given}


@pytest.mark.parametrize("library", sorted(compat_samples.LIBRARIES))
def test_a_function_of_a_library_takes_its_arguments_as_people_write_them(library):
    for function, arguments in calls(library):
        wanted = function(**arguments)
        for spelling in SPELLINGS:
            assert function(**otherwise(arguments, spelling)) == wanted, (function, spelling)


@given(schedules(), st.sampled_from(list(SPELLINGS)))
def test_a_schedule_takes_its_fields_as_people_write_them(schedule, spelling):
    assert type(schedule)(*(otherwise(content, spelling) for content in schedule._fields())) == schedule


@given(schedules())
def test_a_configuration_may_be_of_other_mappings_and_sequences(schedule):
    assert from_config(mapped(to_config(schedule), lambda x: x, OtherSequence, OtherMapping)) == schedule


def defaults() -> Iterator[Value]:
    """Yield the rules and feedback rules that need no arguments."""
    for module in (rules, feedback):
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type) and issubclass(kind, Value):
                try:
                    yield kind()
                except TypeError:  # it has no defaults
                    continue


def test_a_rule_takes_its_fields_as_people_write_them():
    found = list(defaults())
    assert len(found) > 30
    for rule in found:
        for spelling in SPELLINGS:
            again = type(rule)(**{f.name: otherwise(getattr(rule, f.name), spelling) for f in rule._arguments})
            assert again == rule, spelling


RECIPES: dict[str, tuple[Any, ...]] = {
    "warmup_cosine": (0.1, 1e4, 1e2),
    "warmup_linear": (0.1, 1e4, 1e2),
    "wsd": (0.1, 0.01 * 143000, 1e2, 2e2),
    "wsd_s": (0.1, range(100, 301, 100)),
    "inverse_sqrt": (0.1, 1e3),
    "noam": (512.0, 4e3),
    "tri_stage": (0.1, 1e2, 1e2, 1e2),
    "flat_cosine": (0.1, 1e3),
    "power_schedule": (0.1, 1e3, 1e2, 1e2),
    "sgdr": (0.1, 1e2),
    "triangular2": (0.1, 0.2, 1e2, 2e2),
    "exp_range": (0.1, 0.2, 1e2, 0.9, 1e2),
    "range_test": (0.1, 10, 1e2),
    "one_cycle": (0.1, 1e3, 1e2),
    "slanted_triangular": (0.1, 1e3),
    "step_decay": (0.1, 0.5, 1e2),
    "multi_step": (0.1, 0.5, np.array([100, 200])),
    "piecewise_constant": (OtherSequence([1e2, 2e2]), (0.1, 0.2, 0.3)),
    "piecewise_linear": (range(0, 300, 100), (0.1, 0.2, 0.3)),
    "chebyshev": (0.1, 3.0),
}


def whole(content: Any) -> Any:
    if np.ndim(content) == 0 and not isinstance(content, Sequence):
        return int(content) if content == int(content) else content
    return [whole(item) for item in content]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_takes_whole_floats_and_any_sequence(name):
    recipe, named = getattr(lrsched, name), {"warmup": 10.0, "cooldown": 10.0} if name == "wsd_s" else {}
    wholes = {key: whole(value) for key, value in named.items()}
    assert recipe(*RECIPES[name], **named) == recipe(*map(whole, RECIPES[name]), **wholes)


@pytest.mark.parametrize(
    "call",
    [
        lambda: (
            compat.torch.CosineAnnealingLR(lr=0.1, T_max=1e4) == compat.torch.CosineAnnealingLR(lr=0.1, T_max=10_000)
        ),
        lambda: compat.optax.cosine_decay_schedule(0.1, 2e3) == compat.optax.cosine_decay_schedule(0.1, 2000),
        lambda: lrsched.Warmup(0.01 * 143000) == lrsched.Warmup(1430),
    ],
)
def test_lengths_are_written_as_floats(call):
    assert call()


@pytest.mark.parametrize("length", [1234.5, float("nan"), float("inf"), 1e300, -3.0, np.float64(0.5), np.array([3])])
def test_a_length_that_is_not_whole_is_refused(length):
    with pytest.raises((TypeError, ValueError), match=r"Linear\(steps=...\) must be an int >= 1"):
        lrsched.Linear(1.0, 0.0, steps=length)
