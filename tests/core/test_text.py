"""Text and JSON from strangers: everything that is not a schedule is a ValueError that says where."""

import json
import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import schedules

import lrsched
from lrsched import Cosine, Linear, Schedule, Table, compat, from_config, parse, to_config

HOSTILE_TEXTS = {
    "": "invalid syntax|must describe",
    "   ": "invalid syntax|must describe",
    "Cosine": r"column 1: 'Cosine' must be called",
    "Cosine(": "line 1",
    "cosine(1, 0, steps=3)": "'cosine' is not a known schedule",
    "Cosine(1, 0, steps=3).start": "a dot is not part of the text of a schedule",
    "Cosine.__init__(1)": "'Cosine.__init__' is not a known schedule",
    "__import__('os').system('true')": "a dot is not part of the text",
    "__import__('os')": "'__import__' is not a known schedule",
    "eval('1')": "'eval' is not a known schedule",
    "(lambda: 1)()": "a lambda is not part of the text",
    "lambda: 1": "a lambda is not part of the text",
    "[Constant(1) for x in (1,)]": "a loop is not part of the text",
    "Constant(**{'value': 1})": r"\*\* before arguments is not part of the text",
    "Constant(*[1])": r"\* before an argument is not part of the text",
    "Constant(value := 1)": ":= is not part of the text",
    "Constant(f'{1}')": "an f-string is not part of the text",
    "Constant(1)[0]": "an index is not part of the text",
    "Constant(1) if 1 else Constant(2)": "`if` is not part of the text",
    "Constant(1) and Constant(2)": "`and` or `or` is not part of the text",
    "Constant(1) - 1": r"column 13: - must stand between numbers; a schedule takes >>, \+, \*, \*\*",
    "Constant(1) / 2": "column 13: / must stand between numbers",
    "Constant(True + 1)": r"\+ must stand between numbers",
    "Constant(1 / 0)": "division by zero",
    "Constant((-1) ** 0.5)": "must give a real number",
    "Constant(2**1023 * 4)": r"\* must give a real number below",
    "Constant(3 >> 4)": ">> must stand between schedules",
    "-Constant(1)": "a sign must stand before a number",
    "Constant(1) % 2": "this operator is not part of the text",
    "Constant(1)(2)": "only a name may be called",
    "os.system('true')": r"'os.system' is not a known schedule; the nearest are (\w+\.\*, ){2}\w+\.\*$",
    "torch.StepLRR(0.1, 3)": r"the nearest are torch.StepLR, (torch\.\w+, )torch\.\w+$",
    "Cosin(1, 0, steps=3)": r"'Cosin' is not a known schedule; the nearest are Cosine, \w+, \w+$",
    "Constant(9**9**9**9)": r"\*\* must give a real number below 2\*\*1023",
    "9**9**9**9": r"\*\* must give a real number below 2\*\*1023",
    "'a' * 10**9": r"\* must stand between numbers, or beside a schedule",
    "1": "must describe a schedule",
    "'Constant(1)'": "must describe a schedule",
    "(Constant(1), Constant(2))": "must describe a schedule",
    "Constant(1e999)": r"Constant\(value=...\) must be a finite number >= 0, got inf",
    "Constant(-1)": r"Constant\(value=...\) must be a finite number >= 0, got -1",
    "Constant(1j)": "such a constant is not part of the text",
    "Constant(True)": r"Constant\(value=...\) must be a finite number",
    "Constant('1')": r"Constant\(value=...\) must be a finite number",
    "Constant(...)": "such a constant is not part of the text",
    "Constant(b'1')": "such a constant is not part of the text",
    "Constant(nan)": "'nan' is no finite number",
    "Constant(" + "9" * 400 + ")": r"Constant\(value=...\) must be a finite number",
    "Constant(" + "9" * 10_000 + ")": "line 1|integer string",
    "Constant(1, 2, 3, 4)": "positional argument",
    "Constant(1, value=2)": "multiple values",
    "Constant(value=1, value=2)": "keyword argument repeated",
    "Constant(height=1)": "unexpected keyword argument 'height'",
    "Constant()": "missing 1 required positional argument",
    "Linear(1, 0, steps=0)": r"Linear\(steps=...\) must be an int >= 1",
    "Linear(1, 0, steps=2.5)": r"Linear\(steps=...\) must be an int >= 1",
    "Linear(1, 0, steps=" + str(2**53 + 1) + ")": r"and <= 2\*\*53",
    "Constant(1) >> Constant(2)": "only the last schedule of a chain may be unbounded",
    "Constant(1) >> 2": "unsupported operand",
    "Warmup(5) >> Cooldown(5)": "a cool-down cannot follow a warm-up",
    "Repeat(Warmup(5))": "a height is missing",
    "Repeat(Constant(1))": "never ends",
    "Repeat(Linear(1, 0, steps=1), stretch=1.0000001)": "at most 100000 cycles",
    "Repeat(Linear(1, 0, steps=9), times=9007199254740992)": r"within 2\*\*53 steps",
    "Repeat(Linear(1, 0, steps=9), stretch=1000000.0, times=9007199254740992)": r"within 2\*\*53 steps",
    "Table(())": "a sequence of 1 or more items",
    "Table((1, 'a'))": r"Table\(values=...\)\[1\]",
    "Epochs(Linear(1, 0, steps=9007199254740992), 9007199254740992)": r"end within 2\*\*53 steps",
    "Constant(1)\x00": "null bytes|line 1",
    "(" * 5_000 + "Constant(1)" + ")" * 5_000: "too many nested|nests too deeply",
    "Shift(" * 200 + "Constant(1)" + ", 1)" * 200: "nest deeper than 64 levels|too many nested",
    "-" * 5_000 + "1": "nests too deeply|too many nested|must describe",
    "Constant(1)" + " * 1.0" * 60_000: "line 1, column .*at most 50000 operators",
    "x" * 3_000_000: "at most 2000000 characters",
    "Constant(0.1)) * (Constant(0.2)": r"column 14: unmatched '\)'",
    "Constant(0.1)] * [Constant(0.2)": r"column 14: unmatched '\]'",
    "Constant(0.1), Constant(0.2)": "invalid syntax|must describe",
    "Constant(0.1),": "invalid syntax",
    "Constant(0.1": r"'\(' was never closed",
    "Constant(0.1]": r"unmatched '\]'|does not match",
    "Table((1, 2, 3, 4, 5, 6, 7, 8, 9, 010, 11))": "leading zeros",
    "Table((1, 2, 3, 4, 5, 6, 7, 8, 9, NaN, 11))": "'NaN' is no finite number",
    "Constant(steps=3, 5)": "positional argument follows keyword argument",
    r"Warmup(3, shape='\x4')": "escape",
}


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=lambda text: text[:40])
def test_a_text_that_is_no_schedule_is_refused(text):
    with pytest.raises(ValueError, match=HOSTILE_TEXTS[text]):
        parse(text)


WRITTEN = {
    "one_cycle(0.1, steps=1000)": lrsched.one_cycle(0.1, 1000, 300),
    "torch.OneCycleLR(max_lr=0.1, total_steps=100)": compat.torch.OneCycleLR(max_lr=0.1, total_steps=100),
    "pytorch.StepLR(0.1, 30)": compat.torch.StepLR(0.1, 30),
    "torch.optim.lr_scheduler.StepLR(0.1, step_size=30)": compat.torch.StepLR(0.1, 30),
    "lrsched.compat.torch.StepLR(0.1, 30)": compat.torch.StepLR(0.1, 30),
    "jax.cosine_decay_schedule(0.1, 100)": compat.optax.cosine_decay_schedule(0.1, 100),
    "tensorflow.CosineDecay(0.1, 100)": compat.keras.CosineDecay(0.1, 100),
    "keras.optimizers.schedules.CosineDecay(0.1, 100)": compat.keras.CosineDecay(0.1, 100),
    "huggingface.get_constant_schedule(0.1)": compat.transformers.get_constant_schedule(0.1),
    "Warmup(5) >> torch.StepLR(0.1, 30) * 0.5": lrsched.Warmup(5) >> compat.torch.StepLR(0.1, 30) * 0.5,
    "Cosine(3e-4 / 10, 0, steps=10 * 1000)": Cosine(3e-4 / 10, 0.0, steps=10_000),
    "Cosine(0.1 * (3 - 1), 0, steps=2**10)": Cosine(0.2, 0.0, steps=1024),
    "Linear(1, 0, steps=10**9)": Linear(1.0, 0.0, steps=10**9),
    "Warmup(10 // 3) >> Constant(2**-1 - -0.5)": lrsched.Warmup(3) >> lrsched.Constant(1.0),
    "Table((1 + 1, 2 * 3, -1 + 2))": Table((2.0, 6.0, 1.0)),
    "Constant(0.5) * 2 ** 2": lrsched.Constant(0.5) * 4,
}


@pytest.mark.parametrize("text", WRITTEN)
def test_what_people_type_is_read(text):
    assert parse(text) == WRITTEN[text]


SIGNS = ("+", "-", "*", "/", "//", "**")
numbers = st.integers(-50, 50) | st.floats(-50, 50)


@given(
    st.recursive(numbers.map(repr), lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(SIGNS), inner))
)
def test_numbers_are_computed_as_python_does_or_refused(text):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = eval(text)
        plain = isinstance(expected, int | float) and abs(expected) < 2.0**1000
    except ArithmeticError:
        plain = False
    if plain and abs(expected) < 1e100:
        assert parse(f"Constant(({text})**2)")(0) == expected**2
    elif not plain:
        with pytest.raises(ValueError, match="parse"):
            parse(f"Constant(({text})**2)")


@pytest.mark.parametrize("content", [None, 3, b"Constant(1)", ["Constant(1)"], Linear(1, 0, 3)])
def test_only_a_str_is_parsed(content):
    with pytest.raises(TypeError, match=r"parse\(text\) must get a str"):
        parse(content)


@given(st.text(max_size=200))
def test_any_text_is_a_schedule_or_a_value_error(text):
    try:
        assert isinstance(parse(text), Schedule)
    except ValueError as error:
        assert str(error)  # noqa: PT017  # both outcomes are allowed, any other exception is not


def test_an_error_names_line_and_column():
    with pytest.raises(ValueError, match="line 2, column 4: 'Sine' is not a known schedule"):
        parse("Warmup(5)\n>> Sine(1, 0, steps=3)")


def test_a_text_may_run_over_lines_with_comments():
    text = """
        Warmup(5)                     # from zero
        >> Cosine(3e-4, 0, steps=9_500)
    """
    assert parse(text) == Linear(0.0, 3e-4, 5) >> Cosine(3e-4, 0.0, 9_500)


@pytest.mark.parametrize("join", [" >> ", " * ", " + "])
def test_ten_thousand_parts_are_read(join):
    text = join.join(["Linear(1.0, 0.5, steps=3)"] * 10_000)
    assert len(parse(text).parts) == 10_000


@pytest.mark.parametrize("numbers", ["1, 0.5,\n 2e-3", "7_0, 0x10, .5, 1.", "5,"])
def test_numbers_after_a_long_run_of_them_are_read_as_in_python(numbers):
    text = f"Table(({'0.25, ' * 20}{numbers}))"
    assert parse(text) == eval(text, {"Table": Table})


@pytest.mark.parametrize(
    "text",
    [
        "2 ** Linear(1, 0, 3) ** 2",
        "2 * Linear(1, 0, 3) ** 2 * 3 + 1 >> Constant(1)",
        "(0.5 + Linear(1, 0, 3)) ** 2 * (Linear(1, 0, 3) >> Constant(1, 4))",
        "Linear(- - 1, +0.5, steps=0x10,)",
        "Chain([Linear(1., .5, steps=1_0), Constant(value=2e-1)])",
    ],
)
def test_operators_bind_as_in_python(text):
    assert parse(text) == eval(text, vars(lrsched).copy())


def test_a_very_long_chain_is_read_in_linear_time():
    text = " >> ".join(["Constant(0.1, steps=3)"] * 2_000)
    begin = time.process_time()
    schedule = parse(text)
    assert schedule.length == 6_000
    assert parse(repr(schedule)) == schedule
    assert time.process_time() - begin < 30  # quadratic work would take minutes


GOOD = {"format": 1, "type": "Linear", "start": 0.1, "end": 0.0, "steps": 10}


def changed(**fields):
    """Return the good configuration with fields replaced; None removes one."""
    merged = {**GOOD, **fields}
    return {key: content for key, content in merged.items() if content != "remove"}


deep: dict = {"type": "Constant", "value": 1.0}
for _ in range(500):
    deep = {"type": "Shift", "schedule": deep, "steps": 1}
looped: list = []
looped.append(looped)

HOSTILE_CONFIGS = [
    (None, r"\$ must be a dictionary"),
    ([], r"\$ must be a dictionary"),
    ("Linear", r"\$ must be a dictionary"),
    ({}, r"\$.format must be 1"),
    (changed(format="remove"), r"\$.format must be 1, got None"),
    (changed(format=2), r"\$.format must be 1, got 2: written by another version"),
    (changed(format=True), r"\$.format must be 1"),
    (changed(type="remove"), r"\$.type must be the name"),
    (changed(type="Sine"), r"\$.type must be the name of a schedule or rule, got 'Sine'"),
    (changed(type="Schedule"), r"\$.type must be the name"),
    (changed(type=["Linear"]), r"\$.type must be the name"),
    (changed(type={"a": 1}), r"\$.type must be the name"),
    (changed(type="__import__"), r"\$.type must be the name"),
    (changed(start="remove"), r"must have the field 'start'"),
    (changed(color="red"), r"has the fields \['end', 'start', 'steps'\], got 'color'"),
    (changed(__class__="x"), r"got '__class__'"),
    (changed(start="0.1"), r"Linear\(start=...\) must be a finite number >= 0, got '0.1'"),
    (changed(start="1e-3"), "YAML reads 1e-3 as text"),
    (changed(start=True), r"Linear\(start=...\) must be"),
    (changed(start=float("nan")), r"Linear\(start=...\) must be a finite number"),
    (changed(start=float("inf")), r"Linear\(start=...\) must be a finite number"),
    (changed(start=10**400), r"Linear\(start=...\) must be a finite number"),
    (changed(start=10**5000), r"Linear\(start=...\) must be a finite number"),
    (changed(start={"type": "Constant", "value": 1.0}), r"Linear\(start=...\) must be a finite number"),
    (changed(start=object()), r"\$.start must be JSON"),
    (changed(steps=10.5), r"Linear\(steps=...\) must be an int"),
    (changed(steps=-1), r"Linear\(steps=...\) must be an int >= 1"),
    (changed(steps=10**30), r"Linear\(steps=...\) must be an int >= 1 and <= 2\*\*53"),
    ({"format": 1, **deep}, "must not nest deeper than 64 levels"),
    ({"format": 1, "type": "Table", "values": looped}, "must not nest deeper than 64 levels"),
    ({"format": 1, "type": "Table", "values": [0.1, None]}, r"Table\(values=...\)\[1\] must be a finite number"),
    ({"format": 1, "type": "Chain", "parts": [{"type": "Constant", "value": 1.0, "steps": 3}]}, "2 or more items"),
    (
        {"format": 1, "type": "Chain", "parts": [{"type": "Constant", "value": 1.0, "steps": 3}, {"type": "Linear"}]},
        r"\$.parts\[1\] is a Linear and must have the field 'start'",
    ),
    ({"format": 1, "type": "Table", "values": [0.0] * 1_000_001}, "must not hold more than 1000000 entries"),
]


@pytest.mark.parametrize(("config", "message"), HOSTILE_CONFIGS, ids=range(len(HOSTILE_CONFIGS)))
def test_a_configuration_that_is_no_schedule_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        from_config(config)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["Linear", "Repeat", "type", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["format", "type", "start", "end", "steps", "schedule", "parts"]), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_a_schedule_or_a_value_error(content):
    try:
        assert isinstance(from_config(content), Schedule)
    except ValueError as error:
        assert str(error)  # noqa: PT017  # both outcomes are allowed, any other exception is not


@given(schedules(), st.randoms())
def test_a_damaged_configuration_is_a_schedule_or_a_value_error(schedule, random):
    config = to_config(schedule)
    key = random.choice(sorted(config))
    config[key] = random.choice([None, -1, "x", [], {}, 1e400, [[1]], {"type": "Constant", "value": 1.0}])
    try:
        assert isinstance(from_config(config), Schedule)
    except ValueError as error:
        assert str(error)  # noqa: PT017  # both outcomes are allowed, any other exception is not


def test_fields_with_defaults_may_be_missing():
    assert from_config({"format": 1, "type": "Constant", "value": 0.1})(5) == 0.1


def test_only_values_have_a_configuration():
    with pytest.raises(TypeError, match=r"to_config\(item=...\) must be a value of lrsched"):
        to_config("Linear")


@given(schedules())
def test_a_configuration_holds_json_types_only(schedule):
    assert json.loads(json.dumps(to_config(schedule), allow_nan=False)) == to_config(schedule)
