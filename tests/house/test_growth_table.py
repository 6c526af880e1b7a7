"""The script that measures growth runs, and its exponents tell squares from what is in proportion."""

import pytest

from benchmarks import growth


def test_an_exponent_is_the_slope_of_the_logarithms():
    sizes = [10, 20, 40]
    assert growth.exponent(sizes, [3.0 * n for n in sizes]) == pytest.approx(1.0)
    assert growth.exponent(sizes, [0.1 * n**2 for n in sizes]) == pytest.approx(2.0)


def test_memory_that_grows_with_the_square_is_told_as_over():
    square = growth.Case("square", 1000, lambda n: lambda: bytearray(n * n))
    found = growth.measured(square)
    assert found.sizes == [125, 250, 500, 1000]
    assert growth.exponent(found.sizes, found.bytes) > 1.8
    assert "(over)" in growth._cells(square, found)[-1]


SLOW = ("curves", "PyTorch")
CASES = [
    pytest.param(case, id=case.name, marks=[pytest.mark.slow] if any(word in case.name for word in SLOW) else [])
    for case in growth.cases()
]


@pytest.mark.filterwarnings("ignore::lrsched.forecast.UnidentifiedWarning")
@pytest.mark.parametrize("case", CASES)
def test_each_case_runs_at_any_size(case):
    found = growth.measured(case, scale=1e-9)
    assert len(found.sizes) == len(found.seconds) == len(found.bytes) == growth.SIZES


def test_the_table_has_a_line_for_each_case():
    lines = list(growth.rows("in a loop", scale=1e-9))
    assert len(lines) == 2 + 4
    assert len({line.count("|") for line in lines}) == 1
