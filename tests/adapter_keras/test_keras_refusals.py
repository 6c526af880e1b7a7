"""What the Keras adapter refuses, before anything has changed; on the backend that KERAS_BACKEND names."""

import warnings

import keras
import numpy as np
import pytest

from lrsched import Batches, Linear, feedback, rules
from lrsched_keras import FeedbackSchedule, LogLearningRate, LRCallback, LRSchedule, RuleOptimizer, run_range_test

BACKEND = keras.backend.backend()
ADAM = rules.Adam()
SCHEDULE = Linear(0.5, 0.0, steps=10)


def built(rule=ADAM, rate=0.1, **arguments):
    """Return an optimizer, its two variables, and the gradients that fit."""
    variables = [keras.Variable(np.ones((2, 3), "float32"), name="k"), keras.Variable(np.ones(3, "float32"), name="b")]
    optimizer = RuleOptimizer(rule, rate, **arguments)
    optimizer.build(variables)
    return optimizer, variables, [keras.ops.ones((2, 3)), keras.ops.ones(3)]


def content(optimizer, variables=()):
    return [keras.ops.convert_to_numpy(v).copy() for v in (*variables, *optimizer.variables)]


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("learning_rate", [float("nan"), float("inf"), -1.0, "a", None, [0.1], 1j, True, np.ones(2)]),
        ("clipnorm", ["a", float("nan"), -1.0, [1.0]]),
        ("clipvalue", ["a", float("inf")]),
        ("global_clipnorm", [[1.0], True]),
        ("weight_decay", ["a", -1.0, float("nan")]),
        ("use_ema", ["yes", 1]),
        ("ema_momentum", ["a", float("nan"), 1.5]),
        ("ema_overwrite_frequency", ["a", 2.5, 0]),
        ("loss_scale_factor", ["a", 0.0, -2.0]),
        ("gradient_accumulation_steps", ["a", 2.5, True, 1]),
    ],
)
def test_wrong_arguments_are_refused_by_name(name, wrong):
    for value in wrong:
        with pytest.raises((TypeError, ValueError), match=rf"RuleOptimizer\({name}=...\) must be .*, got"):
            RuleOptimizer(ADAM, **{"learning_rate": 0.1, name: value})


def test_rates_are_numbers_of_each_kind_and_may_be_set_to_such():
    for value in (1, np.float32(0.5), np.array(0.25), np.int64(2)):
        optimizer = RuleOptimizer(ADAM, value)
        assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == float(value)
        with pytest.raises((TypeError, ValueError), match=r"RuleOptimizer\(learning_rate=...\) must be .*, got"):
            optimizer.learning_rate = float("nan")
        optimizer.learning_rate = keras.ops.convert_to_tensor(0.5)
        assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == 0.5


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0, "a", None, 1j], ids=repr)
def test_a_factor_that_is_none_is_refused_where_it_is_set_too(wrong):
    schedule = FeedbackSchedule(SCHEDULE, factor=0.5)
    with pytest.raises((TypeError, ValueError), match=r"FeedbackSchedule\(factor=...\) must be a finite number >= 0"):
        schedule.factor = wrong
    assert schedule.factor == 0.5


# What each case makes of the gradients that fit.
GRADIENTS = {
    "fewer": (lambda gs: gs[:1], "must hold a gradient for each of 2 variables, got 1"),
    "more": (lambda gs: [*gs, gs[0]], "must hold a gradient for each of 2 variables, got 3"),
    "in another order": (lambda gs: gs[::-1], r"\[0\] must have the shape \(2, 3\) of its variable 'k'"),
    "of another shape": (lambda gs: [gs[0], gs[1][:1]], r"\[1\] must have the shape \(3,\) of its variable 'b'"),
    "a number": (lambda gs: [gs[0], 1.0], r"\[1\] must have the shape \(3,\)"),
    "integers": (lambda gs: [gs[0], keras.ops.cast(gs[1], "int32")], r"\[1\] must be a tensor of .*, got one of int32"),
    "complex": (lambda gs: [gs[0], keras.ops.cast(gs[1], "complex64")], r"\[1\] must be a tensor of .* of complex64"),
    "text": (lambda gs: [gs[0], "abc"], r"\[1\] must be a tensor of"),
    "by name": (lambda gs: dict(enumerate(gs)), "must be a list with a gradient for each variable, got a dict"),
    "no list": (lambda gs: 3, "must be a list with a gradient for each variable, got a int"),
}


@pytest.mark.parametrize("given", [True, False], ids=["variables", "known variables"])
@pytest.mark.parametrize("change", GRADIENTS)
def test_gradients_that_do_not_fit_are_refused_before_the_decay(change, given):
    make, message = GRADIENTS[change]
    optimizer, variables, grads = built(weight_decay=0.1, clipvalue=1.0)
    before = content(optimizer, variables)
    with pytest.raises((TypeError, ValueError), match=rf"RuleOptimizer.apply\(grads\).*{message}"):
        optimizer.apply(make(grads), variables if given else None)
    assert_same(content(optimizer, variables), before)


def test_a_variable_given_twice_is_refused_and_arrays_of_numpy_are_gradients():
    optimizer, variables, grads = built()
    with pytest.raises(ValueError, match="must hold each variable once"):
        optimizer.apply([grads[0], grads[0]], [variables[0]] * 2)
    optimizer.apply([np.ones((2, 3), "float32"), [1.0, 1.0, 1.0]], variables)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variables[1]), 0.9, rtol=1e-5)


@pytest.mark.parametrize("wrong", [3, "ab", [None], [np.ones(3)], object()], ids=repr)
def test_what_is_no_list_of_variables_is_refused_by_name(wrong):
    optimizer, variables, grads = built()
    given = [variables[0], *wrong] if isinstance(wrong, list) else wrong
    with pytest.raises(TypeError, match=r"RuleOptimizer.apply\(trainable_variables\) must be a list of variables, got"):
        optimizer.apply(grads, given)
    with pytest.raises(TypeError, match=r"RuleOptimizer.build\(variables\) must be a list of variables, got"):
        RuleOptimizer(ADAM, 0.1).build(given)


def test_a_variable_that_the_optimizer_does_not_know_is_refused_before_the_decay():
    optimizer, variables, grads = built(weight_decay=0.1)
    before, late = content(optimizer, variables), keras.Variable(np.ones(3, "float32"), name="late")
    with pytest.raises(ValueError, match=r"apply\(trainable_variables\) must be among the variables .*, got 'late'"):
        optimizer.apply(grads, [variables[0], late])
    assert_same(content(optimizer, variables), before)


@pytest.mark.parametrize("wrong", [3, "ab", None], ids=repr)
def test_what_holds_no_weights_is_refused_by_name(wrong):
    for optimizer in (built()[0], RuleOptimizer(ADAM, 0.1)):
        with pytest.raises(TypeError, match=r"RuleOptimizer.set_weights\(weights\) must hold the arrays of an optim"):
            optimizer.set_weights(wrong)
    with pytest.raises(ValueError, match=r"RuleOptimizer.from_config\(config\) must have a 'rule', got {}"):
        RuleOptimizer.from_config({})


# What each case makes of the weights of an optimizer, by place: iteration, rate, then m and v of both variables.
WEIGHTS = {
    "fewer": (lambda ws: ws[:-1], "must hold 6 arrays, got 5"),
    "more": (lambda ws: [*ws, ws[0]], "must hold 6 arrays, got 7"),
    "another shape": (lambda ws: [*ws[:-1], np.ones((3, 1))], r"\[5\], 'b_v', must have the shape \(3,\), got"),
    "integers": (lambda ws: [*ws[:-1], np.ones(3, int)], r"\[5\], 'b_v', must be an array of float16"),
    "complex": (lambda ws: [*ws[:-1], np.ones(3, complex)], r"\[5\], 'b_v', must be an array of float16"),
    "text": (lambda ws: [*ws[:-1], np.array(["a"] * 3)], r"\[5\], 'b_v', must be an array of float16"),
    "a fraction": (lambda ws: [np.array(1.5), *ws[1:]], r"\[0\], 'iteration', must be an array of whole numbers"),
    "a negative count": (lambda ws: [np.array(-5), *ws[1:]], r"\[0\], 'iteration', must be finite, >= 0"),
    "a huge count": (lambda ws: [np.array(2**64 - 1, np.uint64), *ws[1:]], r"\[0\], 'iteration', must be finite"),
    "no rate": (lambda ws: [ws[0], np.array(np.nan), *ws[2:]], r"\[1\], 'learning_rate', must be finite, >= 0"),
}


@pytest.mark.parametrize("change", WEIGHTS)
def test_weights_that_do_not_fit_are_refused_before_anything_has_changed(change):
    make, message = WEIGHTS[change]
    optimizer, variables, grads = built()
    optimizer.apply(grads, variables)
    before = content(optimizer)
    wrong = make([w + 1 if i > 1 else w for i, w in enumerate(before)])
    with pytest.raises(ValueError, match=message):
        optimizer.set_weights(wrong)
    if len(wrong) == len(before):  # of another number Keras warns
        with pytest.raises(ValueError, match=message):
            optimizer.load_own_variables({str(i): w for i, w in enumerate(wrong)})
    with pytest.raises(ValueError, match="must hold the variables 0 to 5, got none of number"):
        optimizer.load_own_variables({f"x{i}": w for i, w in enumerate(before)})
    assert_same(content(optimizer), before)
    optimizer.set_weights(before)
    optimizer.apply(grads, variables)


def dense_model(optimizer, units=4):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, "tanh"), keras.layers.Dense(1)])
    # In Python, as it is quicker than to compile; the name of a loss is not found again in a .h5.
    model.compile(optimizer, loss=keras.losses.MeanSquaredError(), run_eagerly=True)
    return model


def fit(model, **arguments):
    x = np.linspace(-1.0, 1.0, 12).reshape(4, 3)
    return model.fit(x, x[:, :1], batch_size=2, verbose=0, shuffle=False, **arguments).history


RULES = [rules.Split(rules.Muon(), ADAM), rules.ClipByNorm(1.0) >> rules.AMSGrad(), rules.ScheduleFree(rules.SGD())]
SPLIT = rules.Split(rules.Momentum(), ADAM)


@pytest.mark.parametrize("rule", [SPLIT, *(pytest.param(rule, marks=pytest.mark.slow) for rule in RULES)], ids=repr)
@pytest.mark.parametrize("form", ["model.keras", "model.h5", "w.weights.h5"])
@pytest.mark.filterwarnings("ignore:You are saving")
def test_each_form_of_a_file_brings_all_of_a_rule_back(form, rule, tmp_path):
    model = dense_model(RuleOptimizer(rule, SCHEDULE))
    fit(model)
    path = str(tmp_path / form)
    if "weights" in form:
        model.save_weights(path)
        loaded = dense_model(RuleOptimizer(rule, SCHEDULE))
        fit(loaded)
        loaded.load_weights(path)
    else:
        model.save(path)
        loaded = keras.models.load_model(path)
        loaded.optimizer.build(loaded.trainable_variables)  # as `fit` does
    assert_same(content(loaded.optimizer), content(model.optimizer))
    for one in (model, loaded):
        one.optimizer.apply([keras.ops.ones(v.shape) for v in one.trainable_variables], one.trainable_variables)
    assert_same(loaded.get_weights(), model.get_weights())


def test_weights_of_a_model_of_another_size_leave_the_optimizer_as_it_is(tmp_path):
    other, model = (dense_model(RuleOptimizer(ADAM, 0.1), units) for units in (5, 4))
    for one in (other, model):
        one.optimizer.apply([keras.ops.ones(v.shape) for v in one.trainable_variables], one.trainable_variables)
    other.save_weights(str(tmp_path / "w.weights.h5"))
    before = content(model.optimizer)
    with pytest.warns(UserWarning, match=r"must have the shape \(3, 4\)|could not be loaded"):
        model.load_weights(str(tmp_path / "w.weights.h5"), skip_mismatch=True)
    assert_same(content(model.optimizer), before)


@pytest.mark.parametrize(
    "rate", [LRSchedule(SCHEDULE), FeedbackSchedule(SCHEDULE), LRSchedule(SCHEDULE, gradient_accumulation_steps=3)]
)
def test_a_wrapped_schedule_that_counts_other_batches_is_told_of(rate):
    with pytest.warns(UserWarning, match=r"LRSchedule\(schedule, gradient_accumulation_steps=2\) to count updates"):
        RuleOptimizer(ADAM, rate, gradient_accumulation_steps=2)


def test_schedules_that_say_what_they_count_are_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for rate in (SCHEDULE, Batches(SCHEDULE, 2), LRSchedule(SCHEDULE, gradient_accumulation_steps=2), 0.1):
            RuleOptimizer(ADAM, rate, gradient_accumulation_steps=2)
        RuleOptimizer(ADAM, LRSchedule(SCHEDULE))


DECAYS = [
    ADAM >> rules.DecoupledWeightDecay(0.5),
    rules.L2(0.5) >> rules.SGD(),
    rules.ClipByGlobalNorm(1.0) >> rules.L2(0.5) >> rules.Momentum(0.9),
    rules.lamb(weight_decay=0.5),
    rules.ScheduleFree(rules.Adam(0.0) >> rules.DecoupledWeightDecay(0.5)),
]


@pytest.mark.parametrize("rule", DECAYS, ids=repr)
def test_excluded_variables_do_not_decay_by_the_rule_either(rule):
    rng, names = np.random.default_rng(0), ("kernel", "other")
    values = [rng.normal(size=(2, 3)) for _ in names]
    variables = [keras.Variable(v.astype("float32"), name=n) for v, n in zip(values, names, strict=True)]
    optimizer, slots = RuleOptimizer(rule, 0.1), rules.init(rule, values)
    optimizer.exclude_from_weight_decay(var_names=["other"])
    for t in range(3):
        grads = [rng.normal(size=(2, 3)) for _ in names]
        optimizer.apply([keras.ops.convert_to_tensor(g.astype("float32")) for g in grads], variables)
        values, slots = rules.apply(rule, values, grads, slots, lr=0.1, step=t, decays=[True, False])
    for variable, expected in zip(variables, values, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, rtol=2e-5, atol=1e-6)


def test_all_variables_may_be_excluded():
    optimizer, variables, grads = built(rules.SGD(), 0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=variables)
    optimizer.apply(grads, variables)
    for v in variables:
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(v), np.full(v.shape, 0.5))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow counts in 64 bits")
def test_the_count_of_updates_stays_at_the_largest_that_there_is():
    optimizer, variables, grads = built(rate=SCHEDULE)
    optimizer._iterations.assign(2**31 - 2)
    for _ in range(3):
        optimizer.apply(grads, variables)
    assert int(optimizer.iterations) == 2**31 - 1
    assert np.isfinite(keras.ops.convert_to_numpy(variables[0])).all()


def several(rate=0.5):
    parts = keras.optimizers.OptimizerMap(keras.optimizers.SGD(rate, name="rest"))
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.MultiOptimizer(parts), initial_scale=8.0)


def test_several_optimizers_inside_a_loss_scale_are_turned_and_logged():
    halve = feedback.Plateau(factor=0.5, patience=0, threshold=1e9)
    history = fit(dense_model(several()), epochs=3, callbacks=[LRCallback(halve, monitor="loss"), LogLearningRate()])
    assert history["learning_rate_rest"] == [0.5, 0.5, 0.25]
    with pytest.raises(ValueError, match=r"run_range_test\(model\) must be compiled with one optimizer, got a Multi"):
        run_range_test(dense_model(several()), [(np.ones((2, 3)), np.ones((2, 1)))])


GOOD = LRCallback(feedback.Plateau()).get_state()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"factor": x} for x in ("x", float("nan"), -1.0, None)),
        *({"bases": x} for x in ("x", [None], [float("nan")], 3)),
        *({"observed": x} for x in ("x", -3, 2.5)),
        *({"rule_state": x} for x in (3, {}, None)),
        {"more": 1},
    ],
    ids=repr,
)
def test_a_spoiled_state_of_a_callback_is_refused_whole(wrong):
    callback = LRCallback(feedback.Plateau())
    with pytest.raises((TypeError, ValueError), match=r"LRCallback.set_state\(state=.* must be"):
        callback.set_state({**GOOD, **wrong})
    for name in wrong.keys() & GOOD.keys():
        with pytest.raises(ValueError, match=r"LRCallback.set_state\(state=.* must be a dictionary of rule"):
            callback.set_state({key: value for key, value in GOOD.items() if key != name})
    assert callback.get_state() == GOOD


def test_a_backup_that_is_none_is_named(tmp_path):
    (tmp_path / "rate.json").write_text('{"rule": "Plat')
    callback = LRCallback(feedback.Plateau(), monitor="loss", backup=tmp_path / "rate.json")
    with pytest.raises(ValueError, match=r"LRCallback\(backup=...\) must be what it wrote, got .*rate.json"):
        fit(dense_model(keras.optimizers.SGD(0.1)), callbacks=[callback])
