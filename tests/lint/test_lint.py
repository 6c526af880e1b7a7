"""`lint` says what does not fit a run, in its numbers, suggests what does, and is silent where all is well."""

import ast
import doctest
import inspect
import math
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lint_cases import CASES, DEFAULTS, EPOCH, HF, WSD
from strategies import schedules

import lrsched as ls
from lrsched import Cosine, Linear, Remark, Repeat, Warmup, compat, lint, parse
from lrsched._lint.codes import LINT, SEVERITIES, said
from lrsched._lint.course import Course
from lrsched._lint.rules import RULES

ROOT = Path(__file__).resolve().parents[2]


def built(text):
    return eval(text, {name: getattr(ls, name) for name in ls.__all__})


def codes(schedule, **run):
    return {remark.code for remark in lint(schedule, **run)}


def rows(page):
    """Return the codes that a page lists, with what it says of them."""
    found = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (.+) \|$", page.partition("## Codes")[2], re.MULTILINE)
    return {code: (severity, words) for code, severity, words in found}


def test_the_page_has_all_codes():
    page = (ROOT / "docs" / "lint.md").read_text(encoding="utf-8")
    assert rows(page) == {code: meaning[:2] for code, meaning in LINT.items()}
    assert len(rows(page.replace("| `rate-tiny` |", ""))) == len(LINT) - 1
    assert doctest.testfile(str(ROOT / "docs" / "lint.md"), module_relative=False).failed == 0


def test_every_code_has_its_case():
    assert set(CASES) == set(LINT)


@pytest.mark.parametrize("code", CASES)
def test_what_does_not_fit_is_said_in_the_numbers_of_the_run(code):
    text, run, severity, words, *_ = CASES[code]
    (remark,) = [r for r in lint(built(text), **run) if r.code == code]
    assert words in remark.message
    assert remark.severity == severity


@pytest.mark.parametrize("code", CASES)
def test_what_fits_is_not_remarked(code):
    *_, text, run = CASES[code]
    assert code not in codes(built(text), **run)


@pytest.mark.parametrize("code", CASES)
def test_a_suggestion_can_be_read_and_mends_what_it_is_for(code):
    text, run, *_ = CASES[code]
    (remark,) = [r for r in lint(built(text), **run) if r.code == code]
    assert code not in codes(parse(remark.suggestion), **run)


def test_a_rule_whose_suggestions_do_not_help_falls_back_on_a_schedule_that_fits(monkeypatch):
    from lrsched._lint import lint as module
    from lrsched._lint.rules import Finding

    def rule(course):
        if course.schedule(0) != 1e-3:
            yield Finding(said("rate-tiny", peak="7"), (lambda: course.schedule, lambda: 1 / 0))

    monkeypatch.setattr(module, "RULES", (rule,))
    assert [r.suggestion for r in lint(Cosine(0.0, 0.0, steps=5))] == ["Cosine(0.001, 1e-05, steps=4)"]


def grave(schedule, **run):
    return [remark for remark in lint(schedule, **run) if remark.severity != "info"]


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_trainers_recommend_has_no_errors_and_no_warnings(name):
    schedule, run = DEFAULTS[name]
    assert grave(schedule, **run) == []
    assert grave(schedule) == []


def examples(text):
    """Return the schedules that stand in the code of a Markdown text, each as far as it goes."""
    known = {**{name: getattr(ls, name) for name in ls.__all__}, "compat": compat}
    found = []

    def look(node):
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        if isinstance(node, ast.BinOp | ast.Call) and names <= set(known):
            try:
                made = eval(ast.unparse(node), known)
            except (TypeError, ValueError):  # a part of one, such as Warmup(10) % 2
                made = None
            if isinstance(made, ls.Schedule):
                found.append(made)
                return
        for child in ast.iter_child_nodes(node):
            look(child)

    for language, block in re.findall(r"^```(\w+)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for code in [block] if language == "python" else re.findall(r'"([A-Z]\w+\([^"]*)"', block):
            try:
                look(ast.parse(code))
            except SyntaxError:
                continue
    return [s for s in found if not isinstance(s, Warmup | ls.Cooldown)]


README = examples((ROOT / "README.md").read_text(encoding="utf-8"))


def test_the_examples_of_the_readme_have_no_errors_and_no_warnings():
    assert len(README) > 12
    meant = [parse("Warmup(5) >> Cosine(0.1, 0, steps=80)")]  # the example of lint
    for schedule in README:
        for run in ({}, {"steps": schedule.length}):
            assert schedule in meant or grave(schedule, **run) == [], (schedule, run)


def test_an_example_with_an_error_is_found():
    text = "Warmup(10) >> Warmup(5) >> Constant(0.1)"
    for block in (f"```python\nx = 1\ns = {text}\n```\n", f'```sh\nlrsched plot "{text}"\n```\n'):
        (schedule,) = examples(block)
        assert [r.code for r in grave(schedule)][:1] == ["from-nothing-to-nothing"]


def test_a_schedule_that_fits_has_no_remark():
    assert lint(Linear(0.1, 0.001, steps=99), steps=100, lr=0.1) == []


def test_remarks_come_the_gravest_first():
    found = lint(parse("Warmup(10) >> Warmup(5) >> Cosine(0.1, 0, steps=80)"), steps=100, lr=0.2)
    ranks = [SEVERITIES.index(remark.severity) for remark in found]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 3


@pytest.mark.parametrize("steps", [10**12, 2**53])
@pytest.mark.parametrize(
    "text", [HF, WSD, "Repeat(Cosine(0.1, 0, steps=10), stretch=2)", "Warmup(5) >> Exponential(1, 0.99)"]
)
def test_a_run_of_any_length_is_read_at_few_steps(text, steps, monkeypatch):
    seen = 0
    original = ls.Schedule.__call__

    def counting(self, step=None, /, **named):
        nonlocal seen
        seen += getattr(step, "size", 1)
        return original(self, step, **named)

    monkeypatch.setattr(ls.Schedule, "__call__", counting)
    lint(parse(text), steps=steps)
    assert 0 < seen < 60_000


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (f"Constant(0, steps=999_999) >> {HF}", 1_000_000 + 7_000_000 - 1_009_999),
        (f"{HF} >> Constant(0, steps=3_000_000)", 6_990_000),
        (f"{HF} >> Constant(0, steps=77_777) >> Constant(0.1)", 77_777),
    ],
)
def test_zeros_are_counted_exactly_in_long_runs(text, count):
    # the first update of the warm-up has the rate 0 too, and counts only beside others
    steps = 5_000_000 if count < 100_000 else 7_000_000
    (remark,) = [r for r in lint(parse(text), steps=steps) if r.code == "rate-zero"]
    assert remark.message.startswith(f"{count} of {steps} ")


@pytest.mark.parametrize(("run", "said"), [
    # in updates, though the schedule counts epochs: more than 1000, and a multiple of an epoch
    ({**EPOCH, "steps": 45_000, "steps_per_epoch": 500}, set()),
    ({**EPOCH, "steps": 90, "steps_per_epoch": 500}, set()),
    ({**EPOCH, "steps": 900, "steps_per_epoch": 10}, set()),
    ({"steps": 45_000, "steps_per_epoch": 500}, {"length-looks-like-epochs", "rate-zero"}),
    ({"steps": 45_000}, {"length-looks-like-epochs", "rate-zero"}),
    ({"steps_per_epoch": 5005}, {"length-looks-like-epochs"}),
    ({"steps": 99}, {"ends-before-training", "rate-zero"}),
])  # fmt: skip
def test_epochs_and_updates_are_told_apart(run, said):
    assert codes(Cosine(0.1, 0.0, steps=90), **run) - {"last-value-missed"} == said


@pytest.mark.parametrize("steps", [90, 45_000])
def test_a_schedule_in_updates_that_is_stepped_by_epoch_is_seen_with_a_run_in_either(steps):
    found = codes(Cosine(0.1, 0.0, steps=45_000), steps=steps, unit="epoch", steps_per_epoch=500)
    assert found == {"length-looks-like-updates"}
    inner = Cosine(0.1, 0.0, steps=90)
    (remark,) = grave(ls.Epochs(inner, 500), steps=90, unit="epoch", steps_per_epoch=500)
    assert parse(remark.suggestion) == inner


def test_an_epoch_at_zero_is_seen_in_a_schedule_of_updates_too():
    s = ls.Epochs(parse("Warmup(5) >> Cosine(0.1, 0, steps=85)"), 500)
    assert "updates 0 to 499, a whole epoch" in lint(s, steps=45_000)[0].message
    assert lint(s, steps=45_000)[0].code == "first-epoch-zero"


@pytest.mark.parametrize("shape", [
    "Repeat(Cosine(0.1, 0, steps=10), times=5)", "Cosine(0.1, 0, steps=25) >> Cosine(0.05, 0, steps=25)",
    "Constant(0.1, steps=30) >> Constant(0.01, steps=20)", "Constant(1e-5, steps=5) >> Cosine(0.1, 0, steps=45)",
    "Warmup(5) >> Repeat(Cosine(0.1, 0, steps=15), times=3)"])  # fmt: skip
def test_stairs_restarts_and_a_constant_warm_up_are_no_jumps(shape):
    assert grave(parse(shape), steps=50) == []


def test_a_warm_up_that_multiplies_a_decay_has_the_peak_of_the_optimizer():
    s = parse("(Warmup(10) >> Constant(1)) * Linear(0.1, 0, steps=200)")
    assert grave(s, steps=200, lr=0.1) == []
    assert [r.code for r in grave(s, steps=200, lr=0.12)] == ["peak-differs"]


def test_a_suggestion_can_be_read_where_the_schedule_cannot():
    (remark,) = [r for r in lint(ls.Function(lambda t: 0.1), lr=0.3) if r.code == "peak-differs"]
    assert parse(remark.suggestion)(0) == 0.3


REMARK = said("rate-tiny", "Constant(0.1)", peak="1e-9")


def test_a_remark_is_a_public_value():
    assert Remark is compat.Remark
    assert Remark(*REMARK) == REMARK
    assert REMARK.severity == "warning"
    assert pickle.loads(pickle.dumps(REMARK)) == REMARK
    assert issubclass(ls.LintWarning, UserWarning)


def test_remarks_of_calls_have_a_severity_too():
    call = ("transformers", "get_cosine_schedule_with_warmup", 1.0, 100, 90)
    assert {r.code: r.severity for r in compat.remarks(*call)}["warmup-cut-off"] == "error"
    call = ("transformers", "get_cosine_schedule_with_warmup", 1.0, 10, 100)
    assert {r.severity for r in compat.remarks(*call)} == {"info"}
    found = {r.code: r.severity for r in compat.remarks(*call, horizon=150)}
    assert found["rises-after-end"] == "warning"


def test_lint_and_remarks_use_the_same_words():
    ours = {r.code: r.message for r in lint(Cosine(1.0, 0.0, steps=100), steps=150)}
    theirs = {r.code: r.message for r in compat.remarks("optax", "cosine_decay_schedule", 1.0, 100, horizon=150)}
    assert ours["ends-before-training"] == theirs["ends-before-training"]


@pytest.mark.parametrize(("named", "kind", "match"), [
    ({"steps": 0}, ValueError, r"lint\(steps=...\) must be an int >= 1"),
    ({"steps": 2.5}, TypeError, r"lint\(steps=...\) must be an int"),
    ({"unit": "batch"}, ValueError, r"lint\(unit=...\) must be one of 'update', 'epoch', got 'batch'"),
    ({"steps_per_epoch": -1}, ValueError, r"lint\(steps_per_epoch=...\) must be"),
    ({"lr": 0.0}, ValueError, r"lint\(lr=...\) must be a finite number > 0"),
    ({"lr": math.nan}, ValueError, r"lint\(lr=...\) must be a finite number > 0"),
    ({"schedule": Warmup(5)}, ValueError, r"lint\(schedule=...\)"),
    ({"schedule": 0.1}, TypeError, r"lint\(schedule=...\) must be"),
])  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(named, kind, match):
    with pytest.raises(kind, match=match):
        lint(**{"schedule": Cosine(0.1, 0.0, steps=10), **named})


RUNS = st.fixed_dictionaries(
    {},
    optional={
        "steps": st.one_of(st.integers(1, 300), st.sampled_from([1000, 90_000, 10**12])),
        "unit": st.sampled_from(["update", "epoch"]),
        "steps_per_epoch": st.sampled_from([1, 2, 10, 500]),
        "lr": st.sampled_from([1e-3, 0.1, 1.0]),
    },
)


def check(schedule, run):
    for remark in lint(schedule, **run):
        assert remark.severity in SEVERITIES
        assert "{" not in remark.message
        if len(remark.suggestion) < 5000:
            assert remark.code not in codes(parse(remark.suggestion), **run), remark


@given(schedules(), RUNS)
@settings(max_examples=15)
def test_any_suggestion_for_any_schedule_and_run_mends_what_it_is_for(schedule, run):
    check(schedule, run)


@pytest.mark.slow
@given(schedules(), RUNS)
@settings(max_examples=1500)
def test_any_suggestion_mends_what_it_is_for_in_a_wide_search(schedule, run):
    check(schedule, run)


def test_each_rule_says_what_it_yields():
    for rule in RULES:
        assert (inspect.getdoc(rule) or "").startswith("Yield")
    assert Course(Repeat(Cosine(0.1, 0.0, steps=10)), 35, None, False, None).cycle == (30, 40)
