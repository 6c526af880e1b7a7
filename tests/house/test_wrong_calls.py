"""No wrong call of anything public ends in a foreign error, in silence, or in a message that does not help."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import compat_samples
import numpy as np
import pytest
from feedback_cases import RULES, observation
from rule_samples import SAMPLES
from samples import curves, falling
from wrong_calls import Call, Public, callables, complaints, example, judged, walk

import lrsched as ls
from lrsched import compat, feedback, forecast, pickling, rules
from lrsched._core.value import Value

PACKAGES = [package for package in pickling.PACKAGES if package.partition(".")[0] == "lrsched"]
PACKAGES += [f"lrsched.compat.{library}" for library in dir(compat)]
# Every so many wrong calls are made in each run, all of them in the slow one.
EVERY = 9

VALUES = {type(value): value for value in [*(curve.small for curve in curves()), *(s.rule for s in SAMPLES), *RULES]}
MODEL = forecast.ReturnModel(1000, 0.1)
STATE = MODEL.init()
PLANS = {"a": ls.Constant(0.1), "b": ls.Constant(0.05)}
LAWS = {
    "AnnealingLaw": forecast.AnnealingLaw(l0=2.0, a=3.0, alpha=0.5, c=0.4, memory=7.0),
    "FunctionalLaw": forecast.FunctionalLaw(l0=2.0, a=3.0, alpha=0.5, b=0.4, c=0.2, beta=0.6, limit=0.5),
    "MultiPowerLaw": forecast.MultiPowerLaw(l0=2.0, a=3.0, alpha=0.5, b=0.4, c=0.2, beta=0.6, gamma=0.5),
}
ROWS = rules.Rows([(2, 3), ()], width=4)
BUFFER = ROWS.pack([np.ones((2, 3)), np.ones(())])
UPDATE = {"rule": rules.SGD(), "p": BUFFER, "g": BUFFER, "slots": (), "lr": 0.1, "step": 0}


def curve_of(law: Any) -> list[Any]:
    """Return what a law is fitted to."""
    steps = np.arange(0, 400, 10)
    return [(ls.Linear(1.0, 0.0, 400), steps, forecast.predict(law, ls.Linear(1.0, 0.0, 400), steps))]


# What has no example: a valid call.
CALLS: dict[str, Callable[[], Call]] = {
    "lrsched.register": lambda: Call(ls.register, {"f": falling, "name": "falling"}),
    "lrsched.Schedule.sequence": lambda: Call(ls.Schedule.sequence, {"parts": [ls.Constant(0.1, 3), ls.Constant(0.1)]}),
    "lrsched.feedback.Feedback.update": lambda: Call(RULES[0].update, {"state": RULES[0].init(), "observation": 0.5}),
    "lrsched.rules.Link.sequence": lambda: Call(rules.Link.sequence, {"links": [rules.L2(0.1), rules.SGD()]}),
    "lrsched.rules.Parts": lambda: Call(rules.Parts, {"links": (rules.L2(0.1),)}),
    "lrsched.rules.Pipeline": lambda: Call(rules.Pipeline, {"links": (rules.L2(0.1), rules.SGD())}),
    "lrsched.rules.Rows.init": lambda: Call(ROWS.init, {"rule": rules.SGD(), "like": BUFFER}),
    "lrsched.rules.Rows.slices": lambda: Call(ROWS.slices, {}),
    "lrsched.rules.Rows.tables": lambda: Call(ROWS.tables, {"like": BUFFER}),
    "lrsched.rules.Rows.unpack": lambda: Call(ROWS.unpack, {"buffer": BUFFER}),
    "lrsched.rules.Rows.update": lambda: Call(ROWS.update, dict(UPDATE)),
    "lrsched.forecast.ReturnModel.advantage": lambda: Call(MODEL.advantage, {"state": STATE, **PLANS}),
    "lrsched.forecast.ReturnModel.restore": lambda: Call(MODEL.restore, {"content": list(STATE)}),
    "lrsched.forecast.ReturnModel.update": lambda: Call(MODEL.update, {"state": STATE, "loss": 1.0}),
    **{
        f"lrsched.forecast.ReturnModel.{name}": partial(Call, getattr(MODEL, name), {"state": STATE})
        for name in ("adopt", "advice", "explain", "law", "plan", "status")
    },
    "lrsched.forecast.fit": lambda: Call(forecast.fit, {"curves": curve_of(LAWS["FunctionalLaw"])}),
    **{f"lrsched.forecast.{name}.fit": partial(Call, law.fit, {"curves": curve_of(law)}) for name, law in LAWS.items()},
}

# Callables that are not walked, and why.
LEFT = {
    "lrsched.rules.Rule.of": "its first argument is the place that errors name",
    "lrsched.Schedule.of": "it leaves what is no function as it is",
    "lrsched.Cooldown.resolve": "a chain calls it, with the height that it has found",
    "lrsched.Warmup.resolve": "the same",
    "lrsched.LintWarning": "a warning takes any text",
    "lrsched.Reading": "read_config makes it",
    "lrsched.Reading.explain": "it takes nothing",
    "lrsched.Schedule.plot": "lrsched.plot, which it calls, is walked",
    "lrsched.forecast.MisfitWarning": "a warning takes any text",
    "lrsched.forecast.UnidentifiedWarning": "a warning takes any text",
    "lrsched.rules.Context": "the engines make it",
    "lrsched.rules.Ops": "a table of the functions of a library, which `ops_of` gives",
    "lrsched.rules.RowTables": "the arrays of a layout, which are traced, so that nothing may be asked of them",
    "lrsched.rules.LAMB": "another name of lamb",
    "lrsched.rules.LARS": "another name of lars",
    "lrsched.rules.map_arrays": "its function is called as it is",
    "lrsched.rules.ops_of": "it answers None for what it does not know",
}
# Of the bases only the methods are called.
BASES = {"lrsched.Curve", "lrsched.Ramp", "lrsched.Schedule", "lrsched.feedback.Feedback"}
BASES |= {f"lrsched.rules.{name}" for name in ("Full", "Link", "Local", "Part", "Rule")}
LEFT |= {f"lrsched.{name}.of_two": "the operators call it" for name in ("Maximum", "Minimum", "Product", "Sum")}
LEFT |= {"lrsched.compat.torch.ReduceLROnPlateau": "it refuses everything"}
LEFT |= {f"lrsched.compat.fairseq.{name}": "the same" for name in ("pass_through", "reduce_lr_on_plateau")}

# Values that look wrong and are right, or whose argument a better message does not name, and why.
RIGHT: dict[tuple[str, str], str] = {
    ("lrsched.equality", "steps"): "a row of steps, [1]",
    ("lrsched.plot", "ax"): "None makes new axes",
    ("lrsched.read_config", "path_or_mapping"): "a file, which OSError names; errors begin with its name or `config`",
    ("lrsched.feedback.range_curve", "lrs"): "a row of rates, [1]",
    ("lrsched.feedback.Feedback.update", "observation"): "any number: infinite and NaN are what metrics may be",
    ("lrsched.forecast.ReturnModel.update", "loss"): "the same: what is no loss is counted and left out",
    ("lrsched.forecast.predict", "steps"): "one step, or a row",
    ("lrsched.forecast.best_peaks", "gradient_norms"): "one norm, or a row",
    ("lrsched.forecast.convex_bound", "gradient_norms"): "one norm, or a row",
    ("lrsched.rules.Rule.delta", "lr"): "any finite number, below 0 too: gradients may be those of what is to rise",
    ("lrsched.rules.Rule.delta", "step"): "any whole number",
    ("lrsched.rules.Rule.init", "p"): "an array of any shape",
    ("lrsched.rules.apply", "lr"): "as for Rule.delta",
    ("lrsched.rules.apply", "step"): "as for Rule.delta",
    ("lrsched.rules.init", "params"): "containers may be empty",
    ("lrsched.rules.Rule.delta", "p"): "an array of another shape than the gradient, which the message names",
    ("lrsched.rules.ScheduleFree.average", "p"): "the same of the slots",
    ("lrsched.rules.apply", "params"): "the same of the gradients",
    ("lrsched.rules.averages", "params"): "the same of the slots",
    ("lrsched.rules.Rows.init", "like"): "an array of any shape",
    ("lrsched.rules.Rows.tables", "like"): "the same",
    ("lrsched.rules.Rows.update", "slots"): "SGD has none, ()",
    ("lrsched.rules.Rows.update", "lr"): "as for Rule.delta, and an array of rates",
    ("lrsched.rules.Rows.update", "step"): "the same",
    ("lrsched.compat.levanter.lr_scheduler", "cycle_length"): "lengths, a part, or None",
    ("lrsched.compat.levanter.lr_scheduler", "cycles"): "a number, a list, or None",
    ("lrsched.compat.levanter.lr_scheduler", "haps"): "a list or None",
    ("lrsched.compat.speechbrain.IntervalScheduler", "intervals"): "no interval is one rate for ever",
}


def everything() -> Iterator[Public]:
    """Yield all callables of the core and of compat that are walked."""
    for package in PACKAGES:
        yield from callables(package)


def left(public: Public) -> bool:
    named = any(public.name == name or public.name.startswith(f"{name}.") for name in LEFT)
    return named or public.name in BASES or public.engine


def sample(public: Public) -> Callable[[], Call] | None:
    """Return what makes a valid call, if there is one."""
    if public.name in CALLS:
        return CALLS[public.name]
    library = public.package.removeprefix("lrsched.compat.")
    if library in dir(compat) and public.path in compat_samples.sampled(library):
        named = compat_samples.sampled(library)[public.path]
        return partial(Call, public.item, {k: compat_samples.built(library, v) for k, v in named.items()})
    if public.record:
        return partial(Call, public.item, dict.fromkeys(getattr(public.item, "_fields", ()), 0))
    if public.item in VALUES:
        value: Value = VALUES[public.item]
        return partial(Call, public.item, {f.name: getattr(value, f.name) for f in value._arguments})
    found = example(public)
    return None if found is None else partial(Call, found.target, found.arguments)


def walked() -> Iterator[tuple[Public, Callable[[], Call]]]:
    """Yield what is walked, and what makes a valid call of it."""
    yield from ((public, made) for public in everything() if not left(public) and (made := sample(public)))


def test_each_public_callable_has_a_valid_call():
    assert [public.name for public in everything() if not left(public) and not sample(public)] == []


def test_wrong_calls_are_refused_with_function_argument_what_must_hold_and_what_came():
    assert list(complaints(walked(), RIGHT, EVERY)) == []


@pytest.mark.slow
def test_every_wrong_call_is():
    assert list(complaints(walked(), RIGHT)) == []


def test_what_is_left_and_what_is_right_is_still_there():
    known = {public.name: public for public in everything()}
    assert [name for name in LEFT if name not in known] == []
    assert [key for key in RIGHT if key[1] not in inspect.signature(known[key[0]].item).parameters] == []
    assert len(known) > 600


def bad(lr: float, *, kind: str = "a") -> float:
    """A function that gets everything wrong.

    Examples:
        >>> bad(0.1)
        0.1
    """
    if kind == "text":
        raise ValueError("nonsense")
    if kind == "":
        raise ValueError("bad(lr=...) must be a number, got ''")
    return lr + 0


def test_each_fault_is_found():
    public = Public("test_wrong_calls", "bad", bad)
    call = example(public)
    assert call is not None
    assert call.arguments == {"lr": 0.1}
    found = {
        (argument, repr(value)): judge() for argument, value, judge in walk(public, partial(Call, bad, call.arguments))
    }
    assert found["lr", "None"] == "no function in TypeError: unsupported operand type(s) for +: 'NoneType' and 'int'"
    assert found["lr", "nan"] == found["lr", "True"] == found["kind", "3"] == "accepted"
    assert found["lr", "'is missing'"] is None
    assert found["no_such_argument", "'misspelt'"] is None
    judge = partial(judged, public)
    assert str(judge("kind", lambda: bad(0.1, kind="text"))).startswith("no function in")
    assert str(judge("kind", lambda: bad(0.1, kind=""))).startswith("no argument in")
    assert judge("lr", lambda: {}["a"]) == "foreign KeyError: 'a'"


def test_observations_are_as_the_rules_of_feedback_need_them():
    assert all(rule.update(rule.init(), observation(rule, 0.5)) for rule in RULES)
    assert isinstance(RULES[0], feedback.Plateau)
