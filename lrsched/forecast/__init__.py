"""Loss laws and what follows from them: forecasts, plans, the return model."""

from lrsched.forecast._annealing import AnnealingLaw
from lrsched.forecast._forecast import Forecast, forecast
from lrsched.forecast._law import UnidentifiedWarning, predict
from lrsched.forecast._multipower import MultiPowerLaw
from lrsched.forecast._plan import plan
from lrsched.forecast._prior import Prior
from lrsched.forecast._return import ReturnModel
from lrsched.forecast._state import Advantage, ReturnState
from lrsched.forecast._teach import fit_prior

__all__ = [
    "Advantage",
    "AnnealingLaw",
    "Forecast",
    "MultiPowerLaw",
    "Prior",
    "ReturnModel",
    "ReturnState",
    "UnidentifiedWarning",
    "fit_prior",
    "forecast",
    "plan",
    "predict",
]
