"""Closed-loop rules and observations that several test modules share."""

import math

from hypothesis import strategies as st

from lrsched import feedback as fb

# Eighths, so that metrics tie and hit thresholds exactly, in float32 too.
coarse = st.integers(-24, 24).map(lambda n: n / 8)
finite_metrics = st.one_of(coarse, coarse, st.floats(-1e6, 1e6, width=32))
odd_metrics = st.sampled_from([math.nan, math.inf, -math.inf])
metrics = st.lists(st.one_of(finite_metrics, finite_metrics, odd_metrics), min_size=1, max_size=60)
# What overflows or vanishes where it is squared, summed or scaled.
extreme = st.sampled_from([1e308, -1e308, 1e200, -1e200, 1e-200, 5e-324, 0.0, -0.0])
wild = st.lists(st.one_of(finite_metrics, odd_metrics, extreme), min_size=1, max_size=60)

RULES = (
    fb.Plateau(factor=0.5, patience=1, cooldown=1, minimum=0.01),
    fb.Plateau("max", patience=0, threshold=0.25, threshold_mode="abs", accumulation=3),
    fb.Plateau(dialect="torch", patience=1, threshold=0.25, eps=1e-3, base=0.1, minimum=1e-4),
    fb.Plateau(dialect="keras", patience=2, threshold=0.125, cooldown=2),
    fb.Plateau(dialect="optax", patience=1, accumulation=2, atol=0.125),
    fb.EarlyStopping(patience=2, start=1, baseline=0.5),
    fb.DecayOnPlateauThenStop(k=2.0, minimum=0.1, final=0.25),
    fb.DecayOnPlateauThenStop(k=2.0, minimum=0.1, final=0.25, printed=True),
    fb.GreedyLR(factor=0.5, patience=1, cooldown=1, warmup=1, minimum=0.25, maximum=4.0, reset_start=2),
    fb.GreedyLR("max", factor=0.5, patience=0, threshold_mode="rel", minimum=0.25, window=3, reset_start=1),
    fb.NewBob(patience=1),
    fb.ABEL(0.5, last=7),
    fb.KLAdaptive(target=0.5, minimum=0.25, maximum=4.0),
    fb.KLAdaptive(target=0.5, band=1.25, hold_at_zero=True),
    fb.Hypergradient(0.25),
    fb.Hypergradient(0.25, form="additive", maximum=8.0),
    fb.Polyak(f_min=-1.0, growth=1.5),
    fb.DoG(initial=0.1),
    fb.DoWG(initial=0.1),
    fb.RangeTest(beta=0.5),
)


def observation(rule: fb.Feedback, metric: float, other: float = 0.5) -> fb.Observation:
    """Return an observation with the fields that the rule needs; norms and distances are not negative."""
    size = abs(metric)
    full = {
        "metric": metric,
        "loss": metric,
        "norm_sq": abs(other) * size,
        "dot_previous": metric,
        "distance": size,
        "weight_norm_sq": size,
    }
    return fb.Observation(**{name: full[name] for name in rule.needs})


def fold(rule: fb.Feedback, observations) -> tuple[list, list]:
    """Return the states and the factors after each observation."""
    state, states, factors = rule.init(), [], []
    for each in observations:
        state, factor = rule.update(state, each)
        states.append(state)
        factors.append(factor)
    return states, factors
