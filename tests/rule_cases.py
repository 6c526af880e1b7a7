"""What the rules are compared on with PyTorch, Optax and Keras: the cases, and the data of 200 updates."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np

from lrsched import compat, rules

STEPS = 200
# The last tensor but one starts at zero; the gradient of the last is always zero.
SHAPES = ((), (3,), (4, 5), (2, 3, 4), (3, 3), (3, 2))


@dataclass(frozen=True)
class Case:
    """One optimizer of a library with some arguments; the rule is what `compat` gives for the same.

    Args:
        library: "torch", "optax" or "keras".
        name: of the optimizer in its library, with dots if need be, and of the function in `compat`.
        arguments: without the learning rate.
        float64: how close the rule must come to the optimizer in float64, relative to the largest element.
        float32: how close in float32, where the optimizer itself may err.
        ulps: how close the rule in float32 must come to itself in float64, in units in the last place of the largest
            element.
        rate: factor of the learning rates of `rates`, a power of 2, so that the parameters move by about 1.
        shapes: of the parameters.
    """

    library: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    float64: float = 1e-13
    float32: float = 1e-5
    ulps: float = 16
    rate: float = 1.0
    shapes: tuple[tuple[int, ...], ...] = SHAPES

    def __hash__(self) -> int:
        return hash((self.library, repr(self)))

    def __repr__(self) -> str:
        """Return what names the test."""
        return f"{self.name}({', '.join(f'{name}={content!r}' for name, content in self.arguments.items())})"

    def rule(self) -> rules.Rule:
        """Return our rule."""
        made: rules.Rule = getattr(getattr(compat, self.library), self.name.rpartition(".")[2])(**self.arguments)
        return made

    def native(self, optimizers: Any) -> Any:
        """Return what builds the optimizer, from the module of the library that holds them."""
        return attrgetter(self.name)(optimizers)


# Optax computes 1 - b**t in float32, which is off by 5e-5 at b = 0.999, t = 1.
ROUGH = 3e-5

TORCH = (
    Case("torch", "SGD"),
    Case("torch", "SGD", {"weight_decay": 0.1}),
    Case("torch", "SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    Case("torch", "SGD", {"momentum": 0.9, "dampening": 0.3}),
    Case("torch", "Adagrad"),
    Case("torch", "Adagrad", {"initial_accumulator_value": 0.1, "eps": 1e-3, "weight_decay": 0.1}),
    Case("torch", "RMSprop"),
    Case("torch", "RMSprop", {"momentum": 0.9, "weight_decay": 0.1}),
    # A variance is a difference: what is left of it in float32 needs an eps.
    Case("torch", "RMSprop", {"alpha": 0.9, "momentum": 0.8, "centered": True, "eps": 1e-2}),
    Case("torch", "Adam"),
    Case("torch", "Adam", {"weight_decay": 0.1, "eps": 1e-3}),
    Case("torch", "Adam", {"weight_decay": 0.1, "amsgrad": True, "betas": (0.8, 0.9)}),
    Case("torch", "AdamW"),
    Case("torch", "AdamW", {"weight_decay": 0.3, "amsgrad": True}),
    Case("torch", "NAdam"),
    Case("torch", "NAdam", {"weight_decay": 0.1, "eps": 1e-3, "betas": (0.8, 0.9)}),
    Case("torch", "NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "momentum_decay": 0.5}),
    Case("torch", "RAdam"),
    Case("torch", "RAdam", {"weight_decay": 0.1, "eps": 1e-3, "betas": (0.8, 0.9)}),
    Case("torch", "RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "betas": (0.8, 0.5)}),
    Case("torch", "Adamax"),
    Case("torch", "Adamax", {"weight_decay": 0.1, "eps": 1e-3, "betas": (0.8, 0.9)}),
    Case("torch", "Adadelta", rate=256.0),
    Case("torch", "Adadelta", {"weight_decay": 0.1, "eps": 1e-3, "rho": 0.5}, rate=4.0),
    Case("torch", "Rprop"),
    Case("torch", "Rprop", {"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.1)}),
    Case("torch", "Adafactor", {"eps": (1e-10, 1e-3)}, rate=16.0),
    Case("torch", "Adafactor", {"eps": (1e-3, 1e-2), "d": 2.0, "beta2_decay": -0.5, "weight_decay": 0.1}, rate=16.0),
)
OPTAX = (
    Case("optax", "sgd"),
    Case("optax", "sgd", {"momentum": 0.9, "nesterov": True}),
    Case("optax", "adagrad"),
    Case("optax", "rmsprop"),
    Case("optax", "rmsprop", {"momentum": 0.9, "eps_in_sqrt": False, "initial_scale": 1.0}),
    Case("optax", "rmsprop", {"momentum": 0.8, "centered": True, "eps": 1e-3}),
    Case("optax", "adam", float32=ROUGH),
    Case("optax", "adam", {"eps": 1e-3, "eps_root": 1e-2, "b2": 0.9}),
    Case("optax", "adamw", {"weight_decay": 0.1}, float32=ROUGH),
    Case("optax", "amsgrad", float32=ROUGH),
    Case("optax", "nadam", float32=ROUGH),
    Case("optax", "nadam", {"b1": 0.8, "b2": 0.9, "eps": 1e-3, "eps_root": 1e-2}),
    Case("optax", "nadamw", {"weight_decay": 0.1}, float32=ROUGH),
    Case("optax", "radam", float32=ROUGH),
    Case("optax", "radam", {"b2": 0.9, "eps": 1e-3, "threshold": 4.0, "nesterov": True}),
    Case("optax", "adamax", float32=ROUGH),
    Case("optax", "adamaxw", {"weight_decay": 0.1, "b1": 0.8, "b2": 0.9, "eps": 1e-3}),
    Case("optax", "adadelta", rate=256.0),
    Case("optax", "adadelta", {"weight_decay": 0.1, "eps": 1e-3, "rho": 0.5}, rate=4.0),
    Case("optax", "adabelief", float32=ROUGH),
    Case("optax", "adabelief", {"b1": 0.8, "b2": 0.9, "eps": 1e-3, "eps_root": 1e-4, "nesterov": True}),
    Case("optax", "yogi", float32=ROUGH),
    Case("optax", "adan", float32=ROUGH),
    Case("optax", "adan", {"weight_decay": 0.1, "eps": 1e-3, "b2": 0.5}, float32=ROUGH),
    Case("optax", "sign_sgd"),
    Case("optax", "signum"),
    Case("optax", "lion"),
    Case("optax", "lion", {"weight_decay": 0.1, "b2": 0.9}),
    Case("optax", "novograd"),
    Case("optax", "novograd", {"weight_decay": 0.1, "b2": 0.9, "eps_root": 1e-3}),
    Case("optax", "lars", {"weight_decay": 0.1, "trust_coefficient": 0.1}),
    Case("optax", "lamb", {"weight_decay": 0.1}, float32=ROUGH),
    Case("optax", "lamb", float32=ROUGH),
    # Optax has the decay of Adafactor in float32.
    Case("optax", "adafactor", {"min_dim_size_to_factor": 3}, float64=3e-6, float32=3e-5),
    Case("optax", "adafactor", {"factored": False, "momentum": 0.9, "weight_decay_rate": 1e-3}, 3e-6, ROUGH),
    # The iteration of Muon carries rounding errors along.
    Case("optax", "contrib.muon", {}, 1e-11, 1e-3, 4096),
    Case("optax", "contrib.muon", {"consistent_rms": 0.2, "nesterov": False, "weight_decay": 0.1}, 1e-11, 1e-3, 4096),
    # With a power Optax weighs an update by the learning rate of the next.
    Case("optax", "contrib.schedule_free_sgd", {"weight_lr_power": 0.0}),
    Case("optax", "contrib.schedule_free_adamw", {"weight_lr_power": 0.0, "weight_decay": 0.1}, float32=ROUGH),
    Case("optax", "contrib.prodigy", {"estim_lr0": 1e-2}, rate=32.0, float32=1e-3, ulps=4096),
    Case(
        "optax",
        "contrib.prodigy",
        {"estim_lr0": 1e-2, "weight_decay": 0.1, "safeguard_warmup": True},
        rate=32.0,
        float32=1e-3,
        ulps=4096,
    ),
)
# Where variables change in place, Keras reads the z of Schedule-Free after it has changed it.
WRONG_IN_KERAS = {("tensorflow", "ScheduleFreeAdamW"), ("torch", "ScheduleFreeAdamW")}
# Keras may keep numbers in float32: these are exact there.
_BETAS = {"beta_1": 0.875, "beta_2": 1.0 - 2.0**-7}
_DECAY = {"weight_decay": 0.125}
KERAS = (
    Case("keras", "SGD"),
    Case("keras", "SGD", {"momentum": 0.875, "nesterov": True, **_DECAY}),
    Case("keras", "Adagrad", {"initial_accumulator_value": 0.125, "epsilon": 2.0**-20}),
    Case("keras", "RMSprop", {"rho": 0.875, "epsilon": 2.0**-20, **_DECAY}),
    Case("keras", "RMSprop", {"rho": 0.875, "momentum": 0.75, "centered": True, "epsilon": 2.0**-7}),
    Case("keras", "Adam", _BETAS),
    Case("keras", "Adam", {**_BETAS, **_DECAY, "amsgrad": True, "epsilon": 2.0**-10}),
    Case("keras", "AdamW", {**_BETAS, **_DECAY}),
    Case("keras", "Nadam", _BETAS),
    Case("keras", "Nadam", {**_BETAS, **_DECAY, "epsilon": 2.0**-10}),
    Case("keras", "Adamax", _BETAS),
    Case("keras", "Adamax", {**_BETAS, **_DECAY, "epsilon": 2.0**-10}),
    Case("keras", "Adadelta", {"rho": 0.875, "epsilon": 2.0**-20}, rate=256.0),
    Case("keras", "Adadelta", {"rho": 0.875, "epsilon": 2.0**-10, **_DECAY}, rate=4.0),
    Case("keras", "Lion", {"beta_1": 0.875, "beta_2": 0.96875, **_DECAY}),
    Case("keras", "Lamb", _BETAS),
    Case("keras", "Lamb", {**_BETAS, **_DECAY}),
    # Keras has means in float32 on JAX and PyTorch.
    Case("keras", "Adafactor", {"beta_2_decay": -1.0}, 1e-6, rate=16.0),
    Case("keras", "Adafactor", {"beta_2_decay": -1.0, "clip_threshold": 0.5, **_DECAY}, 1e-6, rate=16.0),
    Case("keras", "ScheduleFreeAdamW", {"beta_1": 0.875, "beta_2": 0.96875, "epsilon": 2.0**-20}),
)

# What has tests of its own: PyTorch rounds Muon to bfloat16, Optax returns the step of Rprop one update too late, and
# Keras chooses by name what Muon leaves out.
ELSEWHERE = {"torch": {"Muon"}, "optax": {"rprop"}, "keras": {"Muon"}}


def left_out(library: str, optimizers: Any, rate: str, cases: tuple[Case, ...]) -> set[str]:
    """Return the optimizers of which `compat` has a rule and no test knows.

    Args:
        library: the module of `compat`.
        optimizers: the module of the library that holds them.
        rate: what they call the learning rate, which tells them from schedules.
        cases: those that are tested.
    """
    known = {case.name.rpartition(".")[2] for case in cases} | ELSEWHERE[library]
    found = set(getattr(compat, library).__all__) - known
    return {name for name in found if rate in _arguments(getattr(optimizers, name, None))}


def _arguments(native: Any) -> set[str]:
    return set(inspect.signature(native).parameters) if callable(native) else set()


def rates(case: Case) -> np.ndarray:
    """Return a learning rate for each update: a wave between 2 / 1024 and 38 / 1024, exact in every dtype."""
    found: np.ndarray = case.rate / 1024 * np.round(20.0 + 18.0 * np.cos(np.arange(STEPS) / 9.0))
    return found


def start(case: Case, dtype: Any = np.float64) -> list[np.ndarray]:
    """Return the parameters: numbers of float32."""
    rng = np.random.default_rng(0)
    found = [np.asarray(rng.normal(size=shape), np.float32) for shape in case.shapes]
    found[-2] = 0 * found[-2]
    return [np.asarray(p, dtype) for p in found]


def gradients(case: Case, dtype: Any = np.float32) -> list[np.ndarray]:
    """Return the gradients of all updates, stacked by tensor: numbers of float32, of many sizes, often exactly zero.

    At the first update the second tensor has none, at the middle one no tensor has.
    """
    return [np.asarray(g, dtype) for g in _gradients(case.shapes, STEPS)]


@cache
def _gradients(shapes: tuple[tuple[int, ...], ...], steps: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    found = []
    for shape in shapes:
        g = rng.normal(size=(steps, *shape)) * 10.0 ** rng.integers(-2, 2, (steps, *shape))
        found.append(np.asarray(np.where(rng.random(g.shape) < 0.125, 0.0, g), np.float32))
        found[-1][steps // 2] = 0.0
    found[1][0] = 0.0
    found[-1][:] = 0.0
    return found


def trained(case: Case, dtype: Any = np.float64) -> list[np.ndarray]:
    """Return the parameters after all updates of the rule, in NumPy."""
    rule, ps, gs = case.rule(), start(case, dtype), gradients(case, dtype)
    slots = rules.init(rule, ps)
    for t, lr in enumerate(rates(case).tolist()):
        ps, slots = rules.apply(rule, ps, [np.asarray(g[t]) for g in gs], slots, lr=lr, step=t)
    return ps


def assert_close(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    """Compare relative to the largest element: parameters pass through zero."""
    scale = max([1.0, *(float(np.abs(q).max()) for q in expected if q.size)])
    for p, q in zip(found, expected, strict=True):
        np.testing.assert_allclose(p, q, rtol=tolerance, atol=tolerance * scale)
