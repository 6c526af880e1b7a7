"""What the tests of trainers rest on can fail: stubs are refused, and rates that differ are found."""

import importlib.util
import sys
from types import ModuleType

import pytest
from harness import agree, emptied, real

from lrsched import Linear


def test_a_module_of_the_distribution_is_real():
    assert real("hypothesis.strategies", "hypothesis").__name__ == "hypothesis.strategies"


def test_a_stub_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis.extra.trainer", ModuleType("hypothesis.extra.trainer"))
    with pytest.raises(RuntimeError, match=r"hypothesis\.extra\.trainer did not come from hypothesis"):
        real("hypothesis.extra.trainer", "hypothesis")


def test_a_module_of_a_package_whose_init_was_left_out_is_refused(monkeypatch):
    package = ModuleType("hypothesis")
    package.__path__ = list(sys.modules["hypothesis"].__path__)
    monkeypatch.setitem(sys.modules, "hypothesis", package)
    with pytest.raises(RuntimeError, match="hypothesis did not come from hypothesis"):
        real("hypothesis.strategies", "hypothesis")


def test_an_emptied_package_is_refused_as_a_trainer():
    with emptied("hypothesis"), pytest.raises(RuntimeError, match="did not come from hypothesis"):
        real("hypothesis.strategies", "hypothesis")


def test_emptied_packages_come_back():
    before = sys.modules["hypothesis"]
    with emptied("hypothesis", "no_such_package"):
        from no_such_package.images import Reader

        assert Reader().__class__.__name__ == "Reader"
        assert importlib.util.find_spec("no_such_package") is None
        assert importlib.util.find_spec("pytest") is not None
    assert sys.modules["hypothesis"] is before
    assert "no_such_package" not in sys.modules


def test_what_is_missing_is_named():
    with pytest.raises(pytest.skip.Exception, match=r"no-such-trainer is not installed: pip install .*oracles\.txt"):
        real("no_such_trainer", "no-such-trainer")


S = Linear(1.0, 0.0, steps=20)
USED = [1.0 - 0.05 * t for t in range(12)]


def test_equal_rates_agree():
    agree("a", S, USED)


@pytest.mark.parametrize("used", [[1.0, *USED[:-1]], USED[:-1], [1.0] * 12])
def test_other_rates_do_not_agree(used):
    with pytest.raises(AssertionError):
        agree("a", S, used)
