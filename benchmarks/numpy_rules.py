"""`rules.apply` on NumPy arrays, beside the expressions that a person would write for each tensor."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._lists import resnet50, single, small
from benchmarks._rows import Row, interleaved
from lrsched import rules

TARGET = 0.5
LISTS = {"ResNet-50": resnet50, "1000 x 1000": small, "one of 25 M": single}
ROUNDS = {"ResNet-50": 7, "1000 x 1000": 15, "one of 25 M": 5}
LR, STEP = 1e-3, 5
# (parameter, gradient, slots) -> (parameter, slots), by hand.
Plain = Callable[[np.ndarray, np.ndarray, list[np.ndarray]], tuple[np.ndarray, list[np.ndarray]]]


def _momentum(p: np.ndarray, g: np.ndarray, s: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    v = 0.9 * s[0] + g
    return p - LR * v, [v]


def _direction(g: np.ndarray, s: list[np.ndarray], eps: float) -> tuple[np.ndarray, list[np.ndarray]]:
    m = 0.9 * s[0] + (1 - 0.9) * g
    v = 0.999 * s[1] + (1 - 0.999) * g * g
    return m / (1 - 0.9 ** (STEP + 1)) / (np.sqrt(v / (1 - 0.999 ** (STEP + 1))) + eps), [m, v]


def _adam(p: np.ndarray, g: np.ndarray, s: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    u, s = _direction(g, s, 1e-8)
    return p - LR * u, s


def _norm(x: np.ndarray) -> float:
    return math.sqrt((x * x).sum())


def _lars(p: np.ndarray, g: np.ndarray, s: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    if p.ndim > 1:
        a, b = _norm(p), _norm(g)
        g = (1e-3 * a / (b + 1e-4 * a) if a > 0 and b > 0 else 1.0) * (g + 1e-4 * p)
    v = 0.9 * s[0] + LR * g
    return p - v, [v]


def _lamb(p: np.ndarray, g: np.ndarray, s: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    u, s = _direction(g, s, 1e-6)
    if p.ndim > 1:
        u = u + 1e-2 * p
        a, b = _norm(p), _norm(u)
        u = (a / b if a > 0 and b > 0 else 1.0) * u
    return p - LR * u, s


def _rmsprop(p: np.ndarray, g: np.ndarray, s: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    v = 0.99 * s[0] + (1 - 0.99) * g * g
    return p - LR * g / (np.sqrt(v) + 1e-8), [v]


def _lion(p: np.ndarray, g: np.ndarray, s: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    u = np.sign(0.9 * s[0] + (1 - 0.9) * g)
    return p - LR * u, [0.99 * s[0] + (1 - 0.99) * g]


CASES: dict[str, tuple[rules.Rule, Plain, int]] = {
    "SGD": (rules.SGD(), lambda p, g, s: (p - LR * g, s), 0),
    "Momentum": (rules.Momentum(0.9), _momentum, 1),
    "RMSprop": (rules.RMSprop(), _rmsprop, 1),
    "Lion": (rules.Lion(), _lion, 1),
    "Adam": (rules.Adam(), _adam, 2),
    "LARS": (rules.lars(), _lars, 1),
    "LAMB": (rules.lamb(), _lamb, 2),
}


def _arrays(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [0.1 * rng.standard_normal(shape, np.float32) for shape in shapes]


def _ours(rule: rules.Rule, shapes: list[tuple[int, ...]], donate: bool) -> tuple[list[Any], Callable[[], None]]:
    params, grads = _arrays(shapes), _arrays(shapes)
    state = [params, rules.init(rule, params)]

    def run() -> None:
        state[:] = rules.apply(rule, state[0], grads, state[1], lr=LR, step=STEP, donate=donate)

    return state, run


def _by_hand(plain: Plain, slots: int, shapes: list[tuple[int, ...]]) -> tuple[list[Any], Callable[[], None]]:
    params, grads = _arrays(shapes), _arrays(shapes)
    own = [[np.zeros_like(p) for _ in range(slots)] for p in params]

    def run() -> None:
        for i, g in enumerate(grads):
            params[i], own[i] = plain(params[i], g, own[i])

    return params, run


def rows() -> list[Row]:
    """Return two rows for each rule and list of tensors: new arrays, and in place.

    Raises:
        AssertionError: the two sides differ by more than the rounding of a few steps.
    """
    found = []
    for name, make in LISTS.items():
        for case, (rule, plain, slots) in CASES.items():
            for donate in (False, True):
                state, ours = _ours(rule, make(), donate)
                params, peer = _by_hand(plain, slots, make())
                times = interleaved(ours, peer, rounds=ROUNDS[name])
                for a, b in zip(state[0], params, strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5, err_msg=f"{case}, {name}")
                kind = "in place" if donate else "new arrays"
                found.append(Row(f"{case}, {name}, {kind}", "NumPy by hand", *times, TARGET))
    return found
