"""What a library shows: its functions only, as its own, with plain signatures; and groups of arguments spelt out."""

import doctest
import importlib
import inspect
import pickle
import subprocess
import sys
from types import ModuleType
from typing import Annotated, TypedDict, Unpack

import pytest

from lrsched import Schedule, compat
from lrsched._core.check import Flag, Int, Real
from lrsched.arguments import Default, OnOff, Rate, arguments_of, checked, constraints_of
from lrsched.compat._tools.libraries import Libraries

PUBLIC = [(library, name) for library in dir(compat) for name in getattr(compat, library).__all__]


def found(library, name):
    return getattr(getattr(compat, library), name)


@pytest.mark.parametrize("library", dir(compat))
def test_a_library_shows_its_functions_only(library):
    module = getattr(compat, library)
    assert dir(module) == sorted(module.__all__)


@pytest.mark.parametrize("line", ["import lrsched.compat.torch as m", "from lrsched import compat; m = compat.torch"])
def test_so_it_does_in_whatever_way_it_is_imported(line):
    says = "print(dir(m) == sorted(m.__all__), m.StepLR.__module__, m.Adam.__module__)"
    run = subprocess.run([sys.executable, "-c", f"{line}; {says}"], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "lrsched.compat.torch", "lrsched.compat.torch"]


def test_a_module_that_is_bound_elsewhere_shows_all():
    def module(name):
        made = ModuleType(name)
        made.__all__, made.secret = [], 1
        return made

    holder, plain = Libraries("holder"), ModuleType("holder")
    holder.library, holder._tools, plain.library = module("a"), module("b"), module("c")
    assert dir(holder.library) == []
    assert "secret" in dir(holder._tools)
    assert "secret" in dir(plain.library)


@pytest.mark.parametrize(("library", "name"), PUBLIC, ids=lambda part: part)
def test_a_function_names_a_public_home(library, name):
    """A function that another library has too may name that one."""
    function = found(library, name)
    home = importlib.import_module(function.__module__)
    assert home.__name__ in {f"lrsched.compat.{other}" for other in dir(compat)}
    assert getattr(home, name) is function
    assert pickle.loads(pickle.dumps(function)) is function
    assert f"def {name}(" in inspect.getsource(function)


def test_examples_of_private_files_are_found_in_the_library():
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = {test.name.rpartition(".")[2] for library in dir(compat) for test in finder.find(getattr(compat, library))}
    with_examples = {name for library, name in PUBLIC if ">>>" in (found(library, name).__doc__ or "")}
    assert len(with_examples) > 200
    assert with_examples <= names


@pytest.mark.parametrize(("library", "name"), PUBLIC, ids=lambda part: part)
def test_a_signature_shows_types_without_constraints(library, name):
    shown = str(inspect.signature(found(library, name)))
    assert "Annotated" not in shown
    assert "Real(" not in shown


def test_the_constraints_are_kept_beside_the_signature():
    assert str(inspect.signature(compat.torch.StepLR)).startswith("(lr: float, step_size: int, gamma: float = 0.1)")
    assert "Annotated[float, Real(" in str(inspect.signature(compat.torch.StepLR.__wrapped__))
    assert constraints_of(compat.torch.StepLR) == {"lr": Real(low=0), "step_size": Int(low=1), "gamma": Real(low=0)}


class Shared(TypedDict, total=False):
    begin: Annotated[Rate, Default(0.5)]
    words: Annotated[str | None, Default(None)]
    verbose: OnOff
    anything: object


class Whole(TypedDict, total=False):
    begin: Annotated[Rate, Default(0.5)]


@checked
def grouped(lr: Rate, **shared: Unpack[Shared]) -> tuple[float, Shared]:
    """A function of a group."""
    return lr, shared


@checked
def whole(lr: Rate, **shared: Unpack[Whole]) -> Whole:
    """A function of a group all of whose arguments have a default."""
    return shared


def test_a_group_is_spelt_out_in_the_signature():
    parameters = inspect.signature(grouped).parameters
    assert list(parameters) == ["lr", "begin", "words", "shared"]
    assert (parameters["begin"].default, parameters["begin"].annotation) == (0.5, float)
    assert parameters["begin"].kind is inspect.Parameter.KEYWORD_ONLY
    assert str(inspect.signature(whole)) == f"(lr: float, *, begin: float = 0.5) -> {Whole.__module__}.Whole"


def test_the_defaults_of_a_group_are_filled_in_and_the_rest_is_as_given():
    assert grouped(1) == (1.0, {"begin": 0.5, "words": None})
    assert grouped(1, begin=2, verbose=True, anything=b"x") == (
        1.0,
        {"begin": 2.0, "words": None, "verbose": True, "anything": b"x"},
    )
    assert arguments_of(whole, 1) == {"lr": 1.0, "shared": {"begin": 0.5}}


def test_the_arguments_of_a_group_are_held_to_their_constraints():
    assert constraints_of(grouped) == {"lr": Real(low=0), "begin": Real(low=0)}
    assert Flag() not in constraints_of(grouped).values()
    with pytest.raises(ValueError, match=r"grouped\(begin=\.\.\.\) must be a finite number >= 0, got -1"):
        grouped(1, begin=-1)
    with pytest.raises(TypeError, match=r"grouped\(verbose=\.\.\.\) must be True or False, got 1"):
        grouped(1, verbose=1)
    with pytest.raises(TypeError, match=r"grouped\(\) got an unexpected argument 'verbos': 'verbose' is one, is that"):
        grouped(1, verbos=True)
    with pytest.raises(TypeError, match=r"whole\(\) got an unexpected keyword argument 'verbose'"):
        whole(1, verbose=True)


def test_a_schedule_of_a_public_function_is_a_schedule():
    assert isinstance(compat.torch.StepLR(0.1, 3), Schedule)
