"""Robust least squares with a normal prior: Levenberg-Marquardt with an analytic Jacobian."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lrsched.forecast._path import Array

# `theta (p,) -> value (n,), Jacobian (n, p)`.
Model = Callable[[Array], tuple[Array, Array]]

# Residuals beyond two standard deviations count linearly (Huber).
HUBER = 2.0
# No parameter (a logarithm) moves by more than this factor e in one iteration.
STRIDE = 1.0
TOLERANCE = 1e-6
ROUNDS = 60
MAX_DAMPING = 1e10


class Solution(NamedTuple):
    """A minimum of the objective."""

    theta: Array  # `(p,)`
    objective: float
    information: Array  # `(p, p)`: what the data alone say (Gauss-Newton)
    belief: Array  # `(p, p)`: what the prior says
    residual: Array  # `(n,)`: prediction minus target, in units of the scale


class _Point(NamedTuple):
    objective: float
    gradient: Array
    information: Array
    belief: Array
    residual: Array


def minimise(model: Model, target: Array, scale: Array, weight: Array, belief: Model, start: Array) -> Solution:
    """Minimise `sum(weight * huber((model - target) / scale)) + sum(belief**2) / 2`.

    Args:
        model: value and Jacobian at theta.
        target: what the model should give, `(n,)`.
        scale: standard deviation of each target, `(n,)`.
        weight: how many independent observations each target is worth, `(n,)`.
        belief: distance from the prior in its standard deviations `(q,)`, and Jacobian `(q, p)`.
        start: where the search starts, `(p,)`.

    Returns:
        The minimum that the search reached from `start`.
    """

    def look(theta: Array) -> _Point:
        with np.errstate(all="ignore"):  # a wild trial step may overflow: it is refused below
            value, slope = model(theta)
            residual = (value - target) / scale
            size = np.abs(residual)
            cost = weight @ np.where(size <= HUBER, residual**2 / 2, HUBER * (size - HUBER / 2))
            slope = slope / scale[:, None]
            part = weight * np.where(size <= HUBER, 1.0, HUBER / np.maximum(size, HUBER))
            pull, lever = belief(theta)
            objective = float(cost + pull @ pull / 2)
            if not np.isfinite(slope).all():
                objective = np.inf
            gradient = slope.T @ (part * residual) + lever.T @ pull
            return _Point(objective, gradient, (slope.T * part) @ slope, lever.T @ lever, residual)

    theta, here, damping = start, look(start), 1e-3
    for _ in range(ROUNDS):
        curvature = here.information + here.belief
        while True:
            move = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), -here.gradient)
            trial = theta + np.clip(move, -STRIDE, STRIDE)
            there = look(trial)
            if there.objective <= here.objective or damping > MAX_DAMPING:
                break
            damping *= 5
        if not there.objective <= here.objective:
            break
        gained = here.objective - there.objective
        theta, here, damping = trial, there, damping / 5
        if gained <= TOLERANCE * (1 + here.objective):
            break
    return Solution(theta, here.objective, here.information, here.belief, here.residual)
