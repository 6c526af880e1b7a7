"""The script that measures ours beside the framework's default runs, and tells what is over its target."""

import pytest

from benchmarks import proportion


def _busy(n):
    return lambda: sum(range(n))


@pytest.mark.parametrize(("ours", "over"), [(20_000, True), (100, False)])
def test_a_row_beyond_its_target_is_told_as_over(ours, over):
    case = proportion.Case("sums", "a short one", lambda: proportion.Pair(_busy(ours), _busy(2_000)))
    assert ("(over)" in proportion.line(case, 3)) is over


def test_a_peer_that_is_not_installed_is_told_so():
    def prepare():
        raise ImportError("no such peer")

    line = proportion.line(proportion.Case("sums", "a peer", prepare), 3)
    assert "not measured: no such peer" in line
    assert line.count("|") == len(proportion.HEAD) + 1


def test_the_names_of_the_rows_differ():
    names = [(case.name, case.memory) for case in proportion.cases()]
    assert len(names) == len(set(names))


def test_short_rows_of_each_kind_run():
    chosen = [
        case for case in proportion.cases() if case.name in ("SGD on NumPy, 3 of 10, in place", "cosine of a number")
    ]
    assert len(chosen) == 2
    assert all("not measured" not in proportion.line(case, 1) for case in chosen)
