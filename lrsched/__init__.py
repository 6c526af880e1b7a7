"""One learning rate, every framework: schedules as pure values, `step -> lr`.

>>> from lrsched import Cosine, Warmup
>>> s = Warmup(500) >> Cosine(3e-4, 0.0, steps=9_500)
>>> s(0), s(500), s(10_000)
(0.0, 0.0003, 0.0)
"""

import inspect
import sys as _sys
from importlib import import_module
from os import scandir
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lrsched._core.config import from_config, to_config
from lrsched._core.functions import register
from lrsched._core.names import ALIASES as _ALIASES
from lrsched._core.names import closest, folded
from lrsched._core.offers import ELSEWHERE, PICTURES, PLOT
from lrsched._core.value import Value as _Value
from lrsched._curves import (
    Batches,
    Budget,
    Chain,
    Constant,
    Consumed,
    Cooldown,
    Cosine,
    Curve,
    Epochs,
    Exponential,
    ExponentialWarmup,
    Extend,
    Function,
    Geometric,
    Harmonic,
    Hold,
    Hyperbolic,
    InverseTime,
    Linear,
    Logarithmic,
    Maximum,
    Minimum,
    Monomial,
    NormalizedExponential,
    Polynomial,
    Power,
    PowerLaw,
    Product,
    Ramp,
    RectifiedWarmup,
    Repeat,
    Reverse,
    Rex,
    Schedule,
    Shift,
    Stretch,
    Sum,
    Table,
    Tanh,
    Template,
    Triangular,
    Warmup,
    Warp,
    clip,
    parse,
)
from lrsched._recipes.cyclic import exp_range, one_cycle, range_test, sgdr, slanted_triangular, triangular2
from lrsched._recipes.recipes import (
    flat_cosine,
    inverse_sqrt,
    noam,
    power_schedule,
    tri_stage,
    warmup_cosine,
    warmup_linear,
    wsd,
    wsd_s,
)
from lrsched._recipes.staircases import (
    batch_ramp,
    chebyshev,
    multi_step,
    piecewise_constant,
    piecewise_linear,
    step_decay,
)
from lrsched.installed import warn_of_twin as _warn_of_twin
from lrsched.pickling import publish as _publish

if TYPE_CHECKING:
    from lrsched._configs.reading import Reading, read_config
    from lrsched._curves.equality import Equality, equality
    from lrsched._draw.milestones import Milestone, milestones
    from lrsched._draw.plot import plot
    from lrsched._draw.svg import svg
    from lrsched._draw.terminal import plot_text
    from lrsched._lint.codes import LintWarning, Remark
    from lrsched._lint.lint import lint
    from lrsched._translate.deepspeed import to_deepspeed
    from lrsched._translate.source import to_source
    from lrsched._translate.trainer import to_hf_kwargs

__version__ = "0.1.0"

# What draws, compares and prints code is loaded when it is first used: training scripts need none of it.
_LATE = {
    "Equality": "_curves.equality",
    "LintWarning": "_lint.codes",
    "Milestone": "_draw.milestones",
    "Reading": "_configs.reading",
    "Remark": "_lint.codes",
    "equality": "_curves.equality",
    "lint": "_lint.lint",
    "milestones": "_draw.milestones",
    "plot": "_draw.plot",
    "plot_text": "_draw.terminal",
    "read_config": "_configs.reading",
    "svg": "_draw.svg",
    "to_deepspeed": "_translate.deepspeed",
    "to_hf_kwargs": "_translate.trainer",
    "to_source": "_translate.source",
}

__all__ = [
    "Batches",
    "Budget",
    "Chain",
    "Constant",
    "Consumed",
    "Cooldown",
    "Cosine",
    "Curve",
    "Epochs",
    "Equality",
    "Exponential",
    "ExponentialWarmup",
    "Extend",
    "Function",
    "Geometric",
    "Harmonic",
    "Hold",
    "Hyperbolic",
    "InverseTime",
    "Linear",
    "LintWarning",
    "Logarithmic",
    "Maximum",
    "Milestone",
    "Minimum",
    "Monomial",
    "NormalizedExponential",
    "Polynomial",
    "Power",
    "PowerLaw",
    "Product",
    "Ramp",
    "Reading",
    "RectifiedWarmup",
    "Remark",
    "Repeat",
    "Reverse",
    "Rex",
    "Schedule",
    "Shift",
    "Stretch",
    "Sum",
    "Table",
    "Tanh",
    "Template",
    "Triangular",
    "Warmup",
    "Warp",
    "batch_ramp",
    "chebyshev",
    "clip",
    "equality",
    "exp_range",
    "flat_cosine",
    "from_config",
    "inverse_sqrt",
    "lint",
    "milestones",
    "multi_step",
    "noam",
    "one_cycle",
    "parse",
    "piecewise_constant",
    "piecewise_linear",
    "plot",
    "plot_text",
    "power_schedule",
    "range_test",
    "read_config",
    "register",
    "sgdr",
    "slanted_triangular",
    "step_decay",
    "svg",
    "to_config",
    "to_deepspeed",
    "to_hf_kwargs",
    "to_source",
    "tri_stage",
    "triangular2",
    "warmup_cosine",
    "warmup_linear",
    "wsd",
    "wsd_s",
]


def _picture(schedule: Schedule) -> dict[str, Any]:
    from lrsched._draw.svg import mimebundle

    return mimebundle(schedule)


def _plot(*args: Any) -> Any:
    from lrsched._draw.plot import plot

    return plot(*args)


PICTURES["schedule"] = _picture
PLOT[:] = [_plot]


def _libraries() -> list[str]:
    """Return the libraries of `lrsched.compat`, without importing it."""
    return sorted(entry.name.partition(".")[0] for entry in scandir(f"{__path__[0]}/compat") if entry.name[0] != "_")


def _elsewhere(name: str) -> Any:
    """Return the function of `lrsched.compat` that a name with dots means, or the nearest names if there is none."""
    parts = name.split(".")
    if len(parts) == 1:
        found = [place.removeprefix("compat.") for place in _places(name) if place.startswith("compat.")]
        return [one for one in found if inspect.signature(_elsewhere(one)).return_annotation is Schedule]
    while parts[0] in ("lrsched", "ls", "compat") and len(parts) > 2:
        del parts[0]
    library = _ALIASES.get(parts[0], parts[0])
    if library not in _libraries():  # nothing is imported
        return [f"{other}.*" for other in closest(library, _libraries())]
    module = import_module(f"lrsched.compat.{library}")
    if parts[-1] in module.__all__:
        return getattr(module, parts[-1])
    return [f"{library}.{other}" for other in closest(parts[-1], module.__all__)]


def _places(name: str, near: bool = False) -> list[str]:
    """Return where a name stands, in our words or another library's, whatever its capitals; or those like it."""
    rooms = {"": __all__} | {f"{other}.": import_module(f"lrsched.{other}").__all__ for other in _ROOMS}
    known = [(own, f"{room}{own}") for room, names in rooms.items() for own in names]
    if not near:
        return [full for own, full in known if folded(own) == folded(name)]
    last = dict(reversed(known))
    return [last[own] for own in closest(name, last)]


# Modules that are loaded when they are named first, and those in which a name is looked for.
_MODULES = ("compat", "feedback", "forecast", "rules")
_ROOMS = ("rules", "feedback", "compat.torch", "compat.optax", "compat.keras", "compat.transformers")
ELSEWHERE[:] = [_elsewhere]


if not TYPE_CHECKING:  # to whom it would give any name

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"lrsched.{name}")
        if name not in _LATE:
            like = [] if name.startswith("_") else _places(name) or _places(name, near=True)
            told = f"; write {' or '.join(f'lrsched.{one}' for one in like)}" if like else ""
            raise AttributeError(f"module 'lrsched' has no attribute {name!r}{told}", name=name)
        globals()[name] = item = getattr(import_module(f"lrsched.{_LATE[name]}"), name)
        _publish(__name__)
        return item


def __dir__() -> list[str]:
    """Return the public names, those too that are not loaded yet, and the modules that are."""
    modules = (name for name, item in globals().items() if isinstance(item, ModuleType) and not name.startswith("_"))
    return ["__version__", *sorted({*__all__, *modules})]


if _ipython := _sys.modules.get("IPython.utils.generics"):  # which would offer what a class has for those who extend it
    _ipython.complete_object.register(_Value, lambda value, words: dir(value))

_publish(__name__)
_warn_of_twin(__path__[0])
