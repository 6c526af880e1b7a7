"""compat.allennlp gives the rates of AllenNLP's own schedulers, driven in the order of its trainer."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import Optimizer, assert_agrees, load, stub

from lrsched.compat import allennlp

torch = pytest.importorskip("torch")
optimization = pytest.importorskip("transformers.optimization")

PREFIX = "allennlp.training.learning_rate_schedulers"


class Registrable:
    @classmethod
    def register(cls, name):
        def keep(sub):
            Registrable.known[name] = sub
            return sub

        return keep

    known: dict = {}  # noqa: RUF012


class Lazy:
    """What a configuration of a scheduler becomes: it is built with as much of the rest as its class takes."""

    def __init__(self, config):
        self.config = dict(config)

    def construct(self, **rest):
        arguments = dict(self.config)
        kind = Registrable.known[arguments.pop("type")]
        taken = inspect.signature(kind).parameters
        return kind(**{name: item for name, item in rest.items() if name in taken}, **arguments)

    def __class_getitem__(cls, item):
        return cls


def _live():
    folder = "training/learning_rate_schedulers/"
    base = [
        stub("allennlp", __path__=[]),
        stub("allennlp.common", __path__=[]),
        stub("allennlp.common.checks", ConfigurationError=ValueError),
        stub("allennlp.common.registrable", Registrable=Registrable),
        stub("allennlp.common.lazy", Lazy=Lazy),
        stub("allennlp.training", __path__=[]),
        stub("allennlp.training.optimizers", Optimizer=torch.optim.Optimizer),
        stub(PREFIX, __path__=[]),
    ]
    base.append(load("allennlp", "training/scheduler.py", base, "allennlp.training.scheduler"))
    name = f"{PREFIX}.learning_rate_scheduler"
    base.append(load("allennlp", f"{folder}learning_rate_scheduler.py", base, name))
    for file in ("pytorch_lr_schedulers", "cosine", "noam", "polynomial_decay", "slanted_triangular", "combined"):
        module = load("allennlp", f"{folder}{file}.py", base, f"{PREFIX}.{file}")
        if file == "polynomial_decay":
            base[7].PolynomialDecay = module.PolynomialDecay
    load("allennlp", f"{folder}linear_with_warmup.py", base, f"{PREFIX}.linear_with_warmup")
    return dict(Registrable.known)


live = _live()

EPOCHS = 24
lrs = st.sampled_from([1.0, 3e-4]) | st.floats(1e-6, 10.0)
per_epoch = st.integers(1, 5)
counts = st.integers(0, 20)
lengths = st.integers(1, 20)


class Real(torch.optim.SGD):
    """A real optimizer, for the schedulers of torch check what they are given."""

    def __init__(self, lr):
        super().__init__([torch.zeros(1, requires_grad=True)], lr=lr)


def rates(build, lr, n, epochs=EPOCHS, optimizer=None):
    """Return the rates of the updates: the trainer calls step_batch before each, step after each epoch."""
    optimizer = optimizer or Real(lr)
    scheduler = build(optimizer)
    found = []
    for _ in range(epochs):
        for _ in range(n):
            scheduler.step_batch(len(found) + 1)
            optimizer.step()
            found.append(float(optimizer.param_groups[0]["lr"]))
        try:
            scheduler.step(0.5)
        except ZeroDivisionError:
            break
    return found


def check(name, lr, n, *, epochs=EPOCHS, single=True, **arguments):
    theirs = rates(lambda optimizer: live[name](optimizer, **arguments), lr, n, epochs)
    if "num_steps_per_epoch" not in arguments and name != "noam":
        arguments["num_steps_per_epoch"] = n
    ours = getattr(allennlp, name)(lr, **arguments)
    assert_agrees(ours, theirs, single=single)
    return ours, theirs


@given(lrs, per_epoch, counts, lengths, st.just(0.0) | st.floats(0.01, 3.0))
def test_the_waves_of_transformers_count_epochs(lr, n, warmup, more, cycles):
    check("constant", lr, n)
    check("constant_with_warmup", lr, n, num_warmup_steps=warmup)
    both = {"num_warmup_steps": warmup, "num_training_steps": warmup + more}
    check("cosine_with_warmup", lr, n, **both, num_cycles=cycles, single=False)
    check("cosine_hard_restarts_with_warmup", lr, n, **both, num_cycles=2, single=False)


@given(lrs, per_epoch, lengths, st.lists(st.integers(1, 30), max_size=4).map(sorted), st.sampled_from([0.1, 0.5, 0.9]))
def test_the_steps_of_torch_count_epochs(lr, n, size, milestones, gamma):
    check("step", lr, n, step_size=size, gamma=gamma)
    check("multi_step", lr, n, milestones=milestones, gamma=gamma)
    check("exponential", lr, n, gamma=gamma)


# Just beside 1 there would be more cycles than a schedule may have.
cycle_growth = st.sampled_from([1.0, 1.1, 1.5, 2.0, 0.9, 0.5, 0.0]) | st.floats(0.3, 0.95) | st.floats(1.01, 3.0)


@given(lrs, per_epoch, st.integers(1, 9), cycle_growth, st.sampled_from([0.0, 0.01, 2.0]), st.floats(0.3, 1.5))
def test_restarts_are_those_of_allennlp(lr, n, first, growth, low, height):
    named = {"t_initial": first, "t_mul": growth, "eta_min": low, "eta_mul": height}
    ours, theirs = check("cosine", lr, n, **named, epochs=40, single=False)
    if len(theirs) < 40 * n:
        assert ours(10_000) == ours(len(theirs)) == pytest.approx(low, rel=1e-12)


@given(lrs, st.integers(1, 1024), lengths, st.floats(0.0, 3.0))
def test_noam_is_that_of_allennlp(lr, width, warmup, factor):
    check("noam", lr, 3, model_size=width, warmup_steps=warmup, factor=factor)


@given(lrs, per_epoch, lengths, counts, st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.sampled_from([0.0, 1e-3, 2.0]))
def test_polynomials_are_those_of_allennlp(lr, n, epochs, warmup, power, end):
    named = {"num_epochs": epochs, "num_steps_per_epoch": n, "warmup_steps": warmup}
    check("polynomial_decay", lr, n, **named, power=power, end_learning_rate=end)
    check("linear_with_warmup", lr, n, **named)


@given(lrs, per_epoch, lengths, st.floats(0.0, 0.99), st.integers(1, 64))
def test_the_slanted_triangle_is_that_of_allennlp(lr, n, epochs, cut, ratio):
    check("slanted_triangular", lr, n, num_epochs=epochs, num_steps_per_epoch=n, cut_frac=cut, ratio=ratio)


@given(lrs, per_epoch, st.integers(2, 5), lengths, st.floats(0.0, 0.99), st.booleans())
def test_gradual_unfreezing_is_that_of_allennlp(lr, n, layers, more, cut, discriminative):
    epochs = layers - 1 + more
    named = {"num_epochs": epochs, "num_steps_per_epoch": n, "cut_frac": cut, "gradual_unfreezing": True}
    named["discriminative_fine_tuning"] = discriminative

    def build(optimizer):
        groups = [{"lr": lr, "params": [torch.zeros(1)] if i < layers else []} for i in range(layers + 1)]
        optimizer.param_groups = groups
        return live["slanted_triangular"](optimizer, **named)

    optimizer = Optimizer(lr)
    optimizer.step = lambda: None
    theirs = rates(build, lr, n, optimizer=optimizer)
    ours = allennlp.slanted_triangular(lr, **named, num_groups=layers + 1, depth=layers - 1)  # of the first group
    assert_agrees(ours, theirs)


children = st.one_of(
    st.just({"type": "constant"}),
    st.builds(lambda w: {"type": "constant_with_warmup", "num_warmup_steps": w}, st.integers(0, 4)),
    st.builds(
        lambda w, t: {"type": "cosine_with_warmup", "num_warmup_steps": w, "num_training_steps": w + t},
        st.integers(0, 4),
        lengths,
    ),
    st.builds(lambda n: {"type": "step", "step_size": n, "gamma": 0.5}, st.integers(1, 4)),
    st.just({"type": "multi_step", "milestones": [1, 3], "gamma": 0.5}),
    st.just({"type": "exponential", "gamma": 0.9}),
    st.builds(lambda n: {"type": "cosine", "t_initial": n, "t_mul": 1.5, "eta_mul": 0.9}, st.integers(1, 4)),
    st.builds(lambda n: {"type": "noam", "model_size": 64, "warmup_steps": n, "factor": 0.5}, lengths),
    st.builds(
        lambda w, e: {"type": "polynomial_decay", "power": 2, "warmup_steps": w, "end_learning_rate": e},
        counts,
        st.sampled_from([0.0, 0.05]),
    ),
    st.builds(lambda w: {"type": "linear_with_warmup", "warmup_steps": w}, counts),
)
first = children | st.just({"type": "slanted_triangular", "cut_frac": 0.3})


@pytest.mark.filterwarnings("ignore:Detected call of")  # a scheduler built anew has seen no update
@given(
    lrs, per_epoch, st.tuples(st.integers(1, 6), first), st.lists(st.tuples(st.integers(1, 6), children), max_size=3)
)
def test_a_sequence_is_that_of_allennlp(lr, n, head, rest):
    schedulers = [head, *rest]
    lazy = [(epochs, Lazy(config)) for epochs, config in schedulers]
    theirs = rates(lambda optimizer: live["combined"](optimizer, lazy, n), lr, n)
    assert_agrees(allennlp.combined(lr, schedulers, n), theirs, single=False)


def test_a_slanted_triangle_later_on_fails_in_allennlp_too():
    schedulers = [(2, {"type": "constant"}), (2, {"type": "slanted_triangular"})]
    with pytest.raises(ValueError, match=r"\[1\]\[1\]\['type'\] must be another one"):
        allennlp.combined(1.0, schedulers, 3)
    lazy = [(epochs, Lazy(config)) for epochs, config in schedulers]
    with pytest.raises(ZeroDivisionError):
        rates(lambda optimizer: live["combined"](optimizer, lazy, 3), 1.0, 3)


def test_every_scheduler_of_allennlp_is_here_or_looks_at_a_metric():
    assert set(live) - set(allennlp.__all__) == {"reduce_on_plateau"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: allennlp.noam(0.1, 512, 0), r"warmup_steps=...\) must be an int >= 1"),
        (lambda: allennlp.slanted_triangular(0.1, 3, 4, 1.0), r"cut_frac=...\) must be a finite number >= 0 and < 1"),
        (lambda: allennlp.slanted_triangular(0.1, 3, 4, gradual_unfreezing=True), r"num_groups=...\) must be given"),
        (
            lambda: allennlp.slanted_triangular(0.1, 3, 4, gradual_unfreezing=True, num_groups=5),
            r"num_epochs=...\) must be > 3",
        ),
        (lambda: allennlp.combined(0.1, [], 3), r"schedulers=...\) must be a sequence of 1 or more"),
        (lambda: allennlp.combined(0.1, [(1, {"type": "plateau"})], 3), r"\[0\]\[1\]\['type'\] must be one of 'const"),
        (lambda: allennlp.combined(0.1, [(0, {"type": "constant"})], 3), r"\[0\]\[0\] must be an int >= 1"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_pair_is_refused():
    with pytest.raises(TypeError, match=r"combined\(schedulers=...\)\[0\] must be a pair"):
        allennlp.combined(0.1, [{"type": "constant"}], 3)
