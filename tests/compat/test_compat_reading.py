"""What the readers of configurations share: names that look like a schedule's, and numbers left as text."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsched import compat
from lrsched._core.check import Choice, Flag, Int, Many, OrNone, Real
from lrsched._core.names import nearest
from lrsched.compat._tools.names import looks_alike
from lrsched.compat._tools.reading import Section, dictionary, number, numbers
from lrsched.compat.torch import StepLR

READ = ("learning_rate", "warmup_steps", "max_steps")
SECTION = Section("read(config)", "the names of a trainer", READ, homes={"power": "write it in kwargs"})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_that_was_left_as_text_is_the_number(value):
    assert number(Real(), repr(value)) == value
    assert number(Real(), f" {value!r} ") == value


@given(st.integers(-(2**53), 2**53), st.integers(-(2**53), 2**53))
def test_whole_numbers_and_lists_are_read_from_every_spelling(a, b):
    assert [number(Int(), text) for text in (str(a), f"{a}.0", float(a), a)] == [a] * 4
    for text in (f"({a}, {b})", f"[{a}, {b}]", f"{a}, {b}", [str(a), str(b)], (a, float(b))):
        assert number(Many(Int()), text) == (a, b)


@pytest.mark.parametrize("text", ["auto", "", "1e-3x", "{}", "(1", "__import__('os')", "True"])
def test_what_is_no_number_stays_as_it_is(text):
    assert [number(rule, text) for rule in (Real(), Int(), Many(Int()), Choice(("x",)))] == [text] * 4


def test_none_and_truth_are_read_where_they_are_allowed():
    assert number(OrNone(Real()), "None") is number(OrNone(Int()), "null") is None
    assert number(Real(), "None") == "None"
    assert [number(Flag(), text) for text in ("true", "False", "1")] == [True, False, "1"]


def test_arguments_are_read_by_the_annotations_of_their_function():
    assert numbers(StepLR, {"lr": "1e-1", "step_size": "3e1", "other": "5"}) == {
        "lr": 0.1,
        "step_size": 30,
        "other": "5",
    }


@st.composite
def misspelt(draw):
    """Draw a name and a misspelling: a letter left out, doubled, wrong or swapped, other capitals or separators."""
    name = draw(st.sampled_from(READ))
    i = draw(st.integers(0, len(name) - 2))
    return name, draw(
        st.sampled_from(
            [
                name[:i] + name[i + 1 :],
                name[: i + 1] + name[i:],
                name[:i] + "z" + name[i + 1 :],
                name[:i] + name[i + 1] + name[i] + name[i + 2 :],
                name.upper(),
                name.title(),
                name.replace("_", "-"),
                name.replace("_", ""),
                "".join(word.title() for word in name.split("_")),
                name + "s",
            ]
        )
    )


@given(misspelt())
def test_a_misspelling_is_refused_with_the_name_that_is_read(pair):
    name, other = pair
    if other in READ:
        return
    assert nearest(other, READ) == name
    with pytest.raises(TypeError, match=rf"^read\(config\) must hold .*, got '{other}': '{name}' is read"):
        SECTION.taken({other: 1})


@given(
    st.sampled_from(READ),
    st.recursive(
        st.just({}),
        lambda inner: st.one_of(inner.map(lambda c: [c]), inner.map(lambda c: {"a": c, "b": 3})),
        max_leaves=4,
    ),
)
def test_a_name_that_stands_deeper_is_refused_with_its_place(name, around):
    content = {"section": _filled(around, name), "max_steps": 1}
    with pytest.raises(TypeError, match=rf"got 'section.*\.{name}': '{name}' is read, at this level"):
        SECTION.taken(content)


def _filled(around, name):
    if isinstance(around, list):
        return [_filled(around[0], name)]
    return {name: 1} if not around else {**around, "a": _filled(around["a"], name)}


@pytest.mark.parametrize(
    "name",
    [
        "min_lr", "end_lr", "learning_rate_end", "cosine_min_lr_ratio", "num_cycles", "T_max", "eta_min", "gamma",
        "milestones", "lr_decay", "decayRatio", "lr_schedulers", "scheduler", "total_iters", "num_steps",
        "train_steps", "WARMUP_METHOD", "warm_up_steps", "power", "timescale", "step_size", "max_epochs",
        "start_factor", "pct_start", "div_factor", "EPOCHS",
    ],
)  # fmt: skip
def test_names_of_other_libraries_look_like_a_schedule(name):
    assert looks_alike(name, READ)


@pytest.mark.parametrize(
    "name",
    [
        "weight_decay", "ema_decay", "decay_params", "save_steps", "eval_steps", "logging_steps",
        "gradient_accumulation_steps", "seed", "bf16", "adam_beta1", "max_grad_norm", "max_length",
        "num_ppo_epochs", "batch_size", "IMS_PER_BATCH", "MOMENTUM", "output_dir", "layer_decay",
    ],
)  # fmt: skip
def test_names_about_something_else_do_not(name):
    assert not looks_alike(name, READ)


def test_what_is_recognised_is_given_back_and_the_rest_left_alone():
    assert SECTION.taken({"learning_rate": 1, "seed": 3, "warmup_epochs": None}) == {"learning_rate": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, r"^read\(config\) must hold the names of a trainer, got nothing$"),
        ({"seed": 1}, "got only 'seed'$"),
        ({"a": {"b": {"warmup_steps": 1}}}, r"got only 'a': such names are under 'a.b', give that$"),
        ({"a": [{"max_steps": 1}]}, r"such names are under 'a\[0\]', give that$"),
    ],
)
def test_a_configuration_without_any_name_says_where_they_are(content, message):
    with pytest.raises(ValueError, match=message):
        SECTION.nothing(content)


def test_a_name_in_a_wrong_place_is_refused_with_its_home():
    with pytest.raises(TypeError, match=r"got 'power': write it in kwargs$"):
        SECTION.taken({"power": 2})


def test_a_neutral_value_is_taken_and_another_one_refused():
    section = Section("f(config)", "names", ("lr",), neutral={"last_epoch": (-1,)}, strict=True)
    assert section.taken({"lr": 1, "last_epoch": "-1"}) == {"lr": 1}
    with pytest.raises(ValueError, match=r"f\(config\)\['last_epoch'\] must be -1, which changes nothing, got 5"):
        section.taken({"last_epoch": 5})
    with pytest.raises(TypeError, match="must hold names, got 'x'"):
        section.taken({"x": None})


@pytest.mark.parametrize("content", [None, 3, "x", [{}], dict])
def test_a_section_is_a_dictionary(content):
    with pytest.raises(TypeError, match=r"f\(config\) must be a dictionary, got "):
        dictionary("f(config)", content)


@pytest.mark.parametrize(
    "read",
    [
        lambda: number(Many(Int()), "(60000, 80000)") == (60_000, 80_000),
        lambda: compat.fairseq.manual(0.1, update2lr="{'1': 0.5}")(0) == 0.5,
    ],
    ids=["reader", "fairseq"],
)
def test_a_text_is_read_though_another_thread_parses(read, monkeypatch):
    """Python 3.11 raises a SystemError after a good parse if another thread has parsed in between."""
    parse, raised = ast.parse, []

    def interrupted(*args, **kwargs):
        if not raised:
            raised.append(True)
            raise SystemError("AST constructor recursion depth mismatch")
        return parse(*args, **kwargs)

    monkeypatch.setattr(ast, "parse", interrupted)
    assert read()
    assert raised
