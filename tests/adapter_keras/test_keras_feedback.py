"""Feedback rules and the range test in the live Keras, on the backend that KERAS_BACKEND names."""

import contextlib
import json

import keras
import numpy as np
import pytest

from lrsched import Constant, Linear, Warmup, feedback, rules
from lrsched_keras import FeedbackSchedule, LogLearningRate, LRCallback, LRSchedule, RuleOptimizer, run_range_test

BACKEND = keras.backend.backend()
SCHEDULE = Linear(0.1, 0.0, steps=10)
HALVE = feedback.Plateau(factor=0.5, patience=0)
METRICS = [3.0, 2.0, 2.5, 2.5, 1.0, 1.25]


def falling_model(optimizer, **compile_arguments):
    """Return a model of one weight, first 0, whose gradient is always 1: SGD moves it by minus the rate."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizer, loss="mae", **compile_arguments)
    return model


class Metric(keras.callbacks.Callback):
    """Puts a number for each epoch into the logs."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = self.values[epoch]


def train(model, callback, values=METRICS, updates=2, **arguments):
    """Train an epoch for each value of the metric."""
    x = np.ones((updates, 1), "float32")
    arguments = {"batch_size": 1, "verbose": 0, "shuffle": False, "epochs": len(values), **arguments}
    return model.fit(x, -1000.0 * x, callbacks=[Metric(values), callback], **arguments).history


def weight(model):
    return float(model.get_weights()[0][0, 0])


def factors(rule, seen):
    """Return the factor that each epoch trains with."""
    state, found = rule.init(), [1.0]
    for metric in seen:
        state, factor = rule.update(state, metric)
        found.append(factor)
    return found[:-1]


OPTIMIZERS = {
    "SGD": keras.optimizers.SGD,
    "LossScaleOptimizer": lambda rate: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(rate), initial_scale=8.0
    ),
    "RuleOptimizer": lambda rate: RuleOptimizer(rules.SGD(), rate),
}
each_optimizer = pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS)


@each_optimizer
def test_the_factor_multiplies_the_number_that_the_optimizer_was_built_with(build):
    model = falling_model(build(0.5))
    history = train(model, LRCallback(HALVE))
    assert history["learning_rate"] == [0.5 * factor for factor in factors(HALVE, METRICS)]
    assert weight(model) == pytest.approx(-2 * sum(history["learning_rate"]), rel=1e-6)


@each_optimizer
def test_the_factor_multiplies_the_schedule_that_the_optimizer_was_built_with(build):
    model = falling_model(build(FeedbackSchedule(SCHEDULE)))
    train(model, LRCallback(HALVE), METRICS[:4])
    expected = sum(SCHEDULE(t) * factors(HALVE, METRICS)[t // 2] for t in range(8))
    assert weight(model) == pytest.approx(-expected, rel=1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras on PyTorch compiles with Inductor, which takes long")
def test_the_factor_reaches_a_training_step_that_is_compiled():
    model = falling_model(keras.optimizers.SGD(FeedbackSchedule(SCHEDULE)), jit_compile=True)
    train(model, LRCallback(HALVE), METRICS[:4])
    expected = sum(SCHEDULE(t) * factors(HALVE, METRICS)[t // 2] for t in range(8))
    assert weight(model) == pytest.approx(-expected, rel=1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras on PyTorch has no steps_per_execution")
def test_the_factor_works_under_steps_per_execution():
    model = falling_model(keras.optimizers.SGD(FeedbackSchedule(SCHEDULE)), steps_per_execution=2)
    train(model, LRCallback(HALVE), METRICS[:4])
    expected = sum(SCHEDULE(t) * factors(HALVE, METRICS)[t // 2] for t in range(8))
    assert weight(model) == pytest.approx(-expected, rel=1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras on PyTorch runs eagerly")
@pytest.mark.parametrize("build", [keras.optimizers.SGD, keras.optimizers.Adam, OPTIMIZERS["LossScaleOptimizer"]])
def test_a_turn_of_the_factor_compiles_nothing_again(build):
    traced, seen = [], []

    def loss(wanted, found):
        traced.append(None)
        return keras.ops.mean(keras.ops.abs(wanted - found))

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((len(traced), self.model.optimizer.learning_rate))

    model = falling_model(build(FeedbackSchedule(Constant(0.5))))
    model.compile(model.optimizer, loss=loss)
    x = np.ones((2, 1), "float32")
    model.fit(x, x, epochs=6, batch_size=1, verbose=0, callbacks=[Metric(METRICS), LRCallback(HALVE), Count()])
    counts, found = zip(*seen, strict=True)
    assert set(counts) == {counts[0]}
    assert [float(rate) for rate in found] == [0.5 * factor for factor in factors(HALVE, METRICS)]


def test_the_schedule_is_a_value_of_its_own_on_every_backend():
    rate = FeedbackSchedule(SCHEDULE)
    assert rate == rate
    assert rate != FeedbackSchedule(SCHEDULE)
    assert {rate: 1}[rate] == 1


def test_a_schedule_of_keras_may_have_a_factor_too():
    native = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    model = falling_model(keras.optimizers.SGD(FeedbackSchedule(native)))
    train(model, LRCallback(HALVE), METRICS[:4])
    expected = sum(0.1 * 0.5 ** (t / 10) * factors(HALVE, METRICS)[t // 2] for t in range(8))
    assert weight(model) == pytest.approx(-expected, rel=1e-6)


@pytest.mark.parametrize("rate", [0.5, FeedbackSchedule(Linear(0.5, 0.0, steps=100))], ids=["number", "schedule"])
def test_the_state_goes_on_in_a_second_fit(rate):
    model = falling_model(keras.optimizers.SGD(rate))
    callback = LRCallback(HALVE)
    train(model, callback, METRICS[:3])
    train(model, callback, METRICS, initial_epoch=3)
    assert callback.get_state()["factor"] == factors(HALVE, [*METRICS, 0.0])[-1]


@pytest.mark.parametrize("rate", [0.5, FeedbackSchedule(SCHEDULE)], ids=["number", "schedule"])
def test_a_saved_state_goes_on_with_another_model_and_callback(rate, tmp_path):
    model, callback = falling_model(keras.optimizers.SGD(rate)), LRCallback(HALVE)
    train(model, callback, METRICS[:3])
    model.save(tmp_path / "model.keras")
    text = json.dumps(callback.get_state(), allow_nan=False)
    train(model, callback, METRICS, initial_epoch=3)
    again, resumed = keras.models.load_model(tmp_path / "model.keras"), LRCallback(HALVE)
    resumed.set_state(json.loads(text))
    train(again, resumed, METRICS, initial_epoch=3)
    assert weight(again) == pytest.approx(weight(model), rel=1e-6)
    assert resumed.get_state() == callback.get_state()


def test_a_model_that_is_loaded_keeps_its_factor(tmp_path):
    model = falling_model(keras.optimizers.SGD(FeedbackSchedule(SCHEDULE)))
    train(model, LRCallback(HALVE), [1.0, 1.0, 1.0])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    # After 6 updates and one cut that an epoch has used: SCHEDULE(6) = 0.04.
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.02, rel=1e-6)


def test_a_backup_restores_the_state_after_a_crash(tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    def callbacks(*more):
        model = falling_model(keras.optimizers.SGD(0.5))
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "weights"))
        callback = LRCallback(HALVE, backup=tmp_path / "rate.json")
        return model, {"callbacks": [backup, Metric(METRICS), callback, *more]}

    x = np.ones((2, 1), "float32")
    arguments = {"batch_size": 1, "verbose": 0, "shuffle": False, "epochs": len(METRICS)}
    model, options = callbacks(Crash())
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, -1000.0 * x, **arguments, **options)
    model, options = callbacks()
    model.fit(x, -1000.0 * x, **arguments, **options)
    assert weight(model) == pytest.approx(-2 * sum(0.5 * factor for factor in factors(HALVE, METRICS)), rel=1e-6)
    assert not (tmp_path / "rate.json").exists()


def test_the_unit_batch_observes_each_batch():
    model = falling_model(keras.optimizers.SGD(0.5))
    callback = LRCallback(feedback.EarlyStopping(patience=100), unit="batch", monitor="loss")
    train(model, callback, [1.0, 1.0], updates=3)
    assert callback.get_state()["rule_state"]["seen"] == 6


def test_a_rule_turns_the_rate_between_batches():
    model = falling_model(keras.optimizers.SGD(1.0))
    # The loss is 1000 at first and falls by less than a tenth, which does not count: a cut after each further batch.
    rule = feedback.Plateau(factor=0.5, patience=0, threshold=0.1)
    train(model, LRCallback(rule, unit="batch", monitor="loss"), [1.0], updates=4)
    assert weight(model) == pytest.approx(-(1.0 + 1.0 + 0.5 + 0.25), rel=1e-6)


def test_a_rule_that_ends_the_run_stops_the_training():
    model = falling_model(keras.optimizers.SGD(0.5))
    history = train(model, LRCallback(feedback.EarlyStopping(patience=1)), [2.0, 1.0, 1.0, 0.5, 0.25])
    assert len(history["loss"]) == 3


def test_epochs_without_validation_are_passed_over():
    class Rarely(Metric):
        def on_epoch_end(self, epoch, logs=None):
            if epoch % 2:
                super().on_epoch_end(epoch, logs)

    model, callback = falling_model(keras.optimizers.SGD(0.5)), LRCallback(feedback.EarlyStopping(patience=9))
    x = np.ones((1, 1), "float32")
    model.fit(x, x, epochs=6, verbose=0, callbacks=[Rarely(METRICS), callback])
    assert callback.get_state()["rule_state"]["seen"] == 3


def test_a_name_that_no_logs_have_is_refused():
    model = falling_model(keras.optimizers.SGD(0.5))
    with pytest.raises(ValueError, match=r"monitor=...\) must be one of \['loss', 'val_loss'\], got 'accuracy'"):
        train(model, LRCallback(HALVE, monitor="accuracy"))


def test_training_without_any_validation_warns():
    model = falling_model(keras.optimizers.SGD(0.5))
    with pytest.warns(UserWarning, match="saw no such value in the logs: was there validation data"):
        train(model, LRCallback(HALVE, monitor="val_accuracy"))


@pytest.mark.parametrize("rate", [LRSchedule(SCHEDULE), lambda: 0.1], ids=["schedule", "function"])
def test_a_rule_needs_a_rate_that_can_be_turned(rate):
    model = falling_model(keras.optimizers.SGD(rate))
    with pytest.raises(TypeError, match=r"a feedback rule works with FeedbackSchedule\(schedule\) too"):
        train(model, LRCallback(HALVE))


def test_a_schedule_in_the_callback_and_one_in_the_optimizer_are_refused():
    model = falling_model(keras.optimizers.SGD(FeedbackSchedule(SCHEDULE), name="both"))
    with pytest.raises(TypeError, match="'both' has a schedule already"):
        train(model, LRCallback(SCHEDULE))


def test_the_state_of_another_rule_is_refused():
    callback = LRCallback(HALVE)
    with pytest.raises(ValueError, match="the state must be one of the rule Plateau"):
        callback.set_state(LRCallback(feedback.NewBob()).get_state())


def test_a_rule_of_several_numbers_is_refused():
    with pytest.raises(TypeError, match="must be a rule that needs one number, got one of"):
        LRCallback(feedback.Polyak())


@pytest.mark.parametrize("wrong", [None, 3, ["loss"]])
def test_a_monitor_that_is_no_name_is_refused(wrong):
    with pytest.raises(TypeError, match=r"LRCallback\(monitor=...\) must be a name in the logs, got"):
        LRCallback(HALVE, monitor=wrong)


def test_a_schedule_remembers_nothing():
    assert LRCallback(SCHEDULE).get_state() == {}


def test_each_part_of_a_multi_optimizer_has_its_own_base():
    parts = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.5, name="rest"))
    parts["dense_a/.*"] = keras.optimizers.SGD(FeedbackSchedule(Linear(0.5, 0.5, steps=1)), name="first")
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, name="dense_a"), keras.layers.Dense(1, name="dense_b")]
    )
    model.compile(keras.optimizers.MultiOptimizer(parts), loss="mae")
    history = train(model, LRCallback(HALVE), [1.0, 1.0, 1.0])
    assert (history["learning_rate_first"], history["learning_rate_rest"]) == ([0.5, 0.5, 0.25], [0.5, 0.5, 0.25])


def test_a_factor_survives_its_configuration():
    rate = FeedbackSchedule(Warmup(5) >> SCHEDULE, factor=0.25)
    schedules = keras.optimizers.schedules
    again = schedules.deserialize(json.loads(json.dumps(schedules.serialize(rate))))
    assert (again.factor, again.schedule) == (0.25, rate.schedule)


def test_a_factor_is_shown():
    assert repr(FeedbackSchedule(SCHEDULE, factor=0.5)) == f"FeedbackSchedule({SCHEDULE!r}, factor=0.5)"


@pytest.mark.parametrize("wrong", [None, 0.1, "Constant(0.1)"])
def test_a_factor_needs_a_schedule(wrong):
    with pytest.raises(TypeError, match="must be a schedule of lrsched"):
        FeedbackSchedule(wrong)


X = np.linspace(-1.0, 1.0, 16, dtype="float32")[:, None]
BATCHES = [(X, 2.0 * X + 10.0)]
RATES = {"number": lambda: 0.125, "schedule": lambda: LRSchedule(Linear(0.1, 0.0, steps=9))}


def far_model(rate, **arguments):
    """Return a linear model that is far from its solution, with a layer that has statistics."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    model.compile(keras.optimizers.Adam(rate, **arguments), loss="mse")
    return model


def content(model):
    return [keras.ops.convert_to_numpy(v).copy() for v in (*model.variables, *model.optimizer.variables)]


@pytest.mark.parametrize("rate", [pytest.param(RATES["number"], marks=pytest.mark.slow), RATES["schedule"]], ids=RATES)
def test_a_range_test_leaves_no_trace(rate):
    tried, plain = far_model(rate()), far_model(rate())
    for model in (tried, plain):
        model.fit(X, X, epochs=1, verbose=0, shuffle=False)
    run_range_test(tried, BATCHES, start=1e-4, steps=20)
    for model in (tried, plain):
        model.fit(X, X, epochs=1, verbose=0, shuffle=False)
    for a, b in zip(content(tried), content(plain), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("accumulate", [None, 2])
@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_a_range_test_trains_at_the_rates_that_it_returns(rate, accumulate):
    keras.utils.set_random_seed(0)
    model = falling_model(keras.optimizers.SGD(rate(), gradient_accumulation_steps=accumulate))
    moved = []
    model.train_on_batch = recorder(model, moved)
    one = np.ones((1, 1), "float32")
    curve = run_range_test(model, [(one, -1000.0 * one)], start=1e-3, end=1.0, steps=6)
    assert curve.lrs == pytest.approx([1e-3 * 10 ** (i / 2) for i in range(7)], rel=1e-12)
    assert moved[-1] == pytest.approx(-sum(curve.lrs), rel=1e-5)


def recorder(model, moved):
    """Return `model.train_on_batch` with a list of the weights after each call."""
    train_on_batch = model.train_on_batch

    def call(*arguments, **options):
        logs = train_on_batch(*arguments, **options)
        moved.append(weight(model))
        return logs

    return call


def test_a_range_test_returns_the_loss_of_each_batch():
    model = falling_model(keras.optimizers.SGD(0.5))
    one = np.ones((1, 1), "float32")
    curve = run_range_test(model, [(one, -1000.0 * one)], start=1.0, end=4.0, steps=2)
    # The weight is 0, -1, -3 before the updates at rates 1, 2, 4.
    assert curve.losses == pytest.approx([1000.0, 999.0, 997.0], rel=1e-6)


def test_a_range_test_stops_and_suggests():
    rule = feedback.RangeTest(beta=0.0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    curve = run_range_test(model, BATCHES, start=1e-3, end=1e4, steps=60, rule=rule)
    assert len(curve.lrs) < 50
    assert curve.suggestions == feedback.lr_range_test(curve.lrs, curve.losses)


def test_a_range_test_needs_a_model_that_is_built():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    with pytest.raises(ValueError, match="must be built"):
        run_range_test(model, BATCHES)


def test_a_range_test_needs_a_batch():
    with pytest.raises(ValueError, match="at least one batch"):
        run_range_test(far_model(0.1), [])


def test_a_range_test_must_rise():
    with pytest.raises(ValueError, match="must rise from start > 0 to end, got"):
        run_range_test(far_model(0.1), BATCHES, start=1.0, end=0.1)


def test_the_rate_of_a_feedback_schedule_is_logged():
    model = falling_model(keras.optimizers.SGD(FeedbackSchedule(SCHEDULE, factor=0.5)))
    history = train(model, LogLearningRate(), [1.0, 1.0])
    assert history["learning_rate"] == pytest.approx([SCHEDULE(2) / 2, SCHEDULE(4) / 2], rel=1e-6)


def assert_loads(model, tmp_path):
    """Save and load a model; every variable of its optimizer must be as it was."""
    model.save(tmp_path / "model.keras")
    found = keras.models.load_model(tmp_path / "model.keras").optimizer.variables
    for a, b in zip(found, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))


STATEFUL = {
    "Adam": keras.optimizers.Adam,
    "LossScaleOptimizer": lambda rate: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(rate)),
    "RuleOptimizer": lambda rate: RuleOptimizer(rules.Adam(), rate),
}


@pytest.mark.parametrize("build", STATEFUL.values(), ids=STATEFUL)
def test_a_range_test_leaves_the_variables_of_the_optimizer_in_order(build, tmp_path):
    model = falling_model(build(FeedbackSchedule(SCHEDULE, factor=0.5)))
    train(model, LRCallback(HALVE), [1.0])
    run_range_test(model, [(np.ones((2, 1)), np.ones((2, 1)))], steps=2)
    assert_loads(model, tmp_path)


@pytest.mark.parametrize("build", STATEFUL.values(), ids=STATEFUL)
def test_a_feedback_schedule_assigned_to_an_optimizer_is_saved_with_it(build, tmp_path):
    model = falling_model(build(0.5))
    train(model, LogLearningRate(), [1.0])
    for schedule in (SCHEDULE, Constant(0.25)):  # in the place of a number, and of another one
        inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        inner.learning_rate = FeedbackSchedule(schedule)
        model.compile(model.optimizer, loss="mae")
        train(model, LRCallback(HALVE), [1.0, 2.0])
        assert_loads(model, tmp_path)


def test_a_range_test_takes_no_more_batches_than_it_needs():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.125), loss="mse")
    x = np.linspace(-1.0, 1.0, 16)[:, None]
    endless = ((x, 2.0 * x) for _ in iter(int, 1))
    assert len(run_range_test(model, endless, start=1e-4, end=1e-2, steps=3).lrs) == 4


class Pairs(keras.utils.PyDataset):
    """Two batches, or as many as are asked for."""

    def __init__(self, batches):
        super().__init__()
        self.num_batches = batches

    num_batches = None

    def __getitem__(self, i):
        return X[:8], X[:8]


def kinds_of_batches():
    """Yield the same batches of other libraries, as far as these are installed."""
    yield Pairs(2)
    yield Pairs(None)
    with contextlib.suppress(ImportError):
        import torch.utils.data as data

        pairs = data.TensorDataset(data.dataset.Tensor(X[:8]), data.dataset.Tensor(X[:8]))
        yield data.DataLoader(pairs, batch_size=8)
    with contextlib.suppress(ImportError):
        import tensorflow as tf

        yield tf.data.Dataset.from_tensors((X[:8], X[:8]))
        yield tf.data.Dataset.from_tensors((X[:8], X[:8])).repeat()
    with contextlib.suppress(ImportError):
        import jax.numpy as jnp

        yield [(jnp.asarray(X[:8]), jnp.asarray(X[:8]))]


def test_a_range_test_takes_batches_of_every_library_on_every_backend():
    model = falling_model(keras.optimizers.SGD(0.5))
    expected = run_range_test(model, [(X[:8], X[:8])], start=1e-4, end=1e-2, steps=3)
    for batches in kinds_of_batches():
        assert run_range_test(model, batches, start=1e-4, end=1e-2, steps=3) == expected


def test_a_range_test_says_what_is_missing():
    model = falling_model(keras.optimizers.SGD(0.5))
    pair = (np.ones((2, 1)), np.ones((2, 1)))
    for batches, got in ((pair, "ndarray"), ([()], "tuple of 0"), ([pair * 3], "tuple of 6"), ([{"x": 1}], "dict")):
        with pytest.raises(
            TypeError, match=rf"run_range_test\(batches=\.\.\.\) must hold tuples .*, got a {got} in it"
        ):
            run_range_test(model, batches)
    bare = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"run_range_test\(model\) must be compiled"):
        run_range_test(bare, [(np.ones((2, 1)), np.ones((2, 1)))])


class SetsTheRate(keras.callbacks.Callback):
    """Sets the rate before one epoch."""

    def __init__(self, epoch, rate):
        super().__init__()
        self.epoch, self.rate = epoch, rate

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.model.optimizer.learning_rate = self.rate


def test_a_rate_that_somebody_else_sets_stays_and_the_factor_goes_on_from_there():
    model, callback = falling_model(keras.optimizers.SGD(0.5)), LRCallback(HALVE)
    assert train(model, callback, [1.0, 1.0, 0.5])["learning_rate"] == [0.5, 0.5, 0.25]
    model.optimizer.learning_rate = 8.0  # between two calls
    x = np.ones((2, 1), "float32")
    callbacks = [Metric([0.5, 0.4, 0.3, 0.4, 0.2]), callback, SetsTheRate(2, 2.0)]
    history = model.fit(x, -1000.0 * x, callbacks=callbacks, epochs=5, verbose=0).history
    # 0.5 and 0.4 are no better than 0.5 and 0.3 were.
    assert history["learning_rate"] == [8.0, 4.0, 2.0, 2.0, 1.0]


def test_a_second_model_begins_with_its_own_rate_and_a_rule_without_memory():
    callback = LRCallback(feedback.Plateau(factor=0.5, patience=0))
    for rate in (0.5, 4.0):
        model = falling_model(keras.optimizers.SGD(rate))
        found = train(model, callback, [1.0, 1.0, 1.0])["learning_rate"]
        assert found == [rate, rate, 0.5 * rate]
    state = callback.get_state()
    other = LRCallback(feedback.Plateau(factor=0.5, patience=0))
    other.set_state(state)
    assert train(falling_model(keras.optimizers.SGD(9.0)), other, [1.0])["learning_rate"] == [4.0 * state["factor"]]


def test_another_optimizer_of_the_same_model_begins_as_another_model_does():
    model, callback = falling_model(keras.optimizers.SGD(0.5)), LRCallback(HALVE)
    for rate in (0.5, 4.0):  # the folds of a validation, with one model
        model.compile(keras.optimizers.SGD(rate), loss="mae")
        assert train(model, callback, [1.0, 1.0, 1.0])["learning_rate"] == [rate, rate, 0.5 * rate]
    model.compile(model.optimizer, loss="mse")  # the same optimizer goes on
    assert train(model, callback, [1.0])["learning_rate"] == [0.25 * rate]


def test_a_training_after_one_that_the_rule_has_ended_begins_anew_as_with_the_callback_of_keras():
    model, metrics = falling_model(keras.optimizers.SGD(0.5)), [1.0, 2.0, 0.5, 3.0, 4.0, 5.0]
    ours = LRCallback(feedback.EarlyStopping(patience=2))
    for callback in (ours, keras.callbacks.EarlyStopping(patience=2)):
        lengths = [len(train(model, callback, seen)["loss"]) for seen in (metrics, metrics[2:], metrics)]
        assert lengths == [5, 3, 5]
    finished = ours.get_state()
    ours.set_state(finished)  # what was saved stays ended
    assert len(train(model, ours, metrics)["loss"]) == 1
