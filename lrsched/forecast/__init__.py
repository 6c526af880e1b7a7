"""Loss laws and what follows from them: forecasts, plans, the return model."""

from lrsched.forecast._annealing import AnnealingLaw
from lrsched.forecast._bound import Tuned, best_peaks, convex_bound, transfer_horizon
from lrsched.forecast._forecast import Forecast, forecast
from lrsched.forecast._functional import FunctionalLaw, fit
from lrsched.forecast._law import MisfitWarning, UnidentifiedWarning, predict
from lrsched.forecast._multipower import MultiPowerLaw
from lrsched.forecast._plan import plan
from lrsched.forecast._prior import Prior
from lrsched.forecast._record import Record
from lrsched.forecast._return import ReturnModel
from lrsched.forecast._state import Advantage, ReturnState, Switch
from lrsched.forecast._teach import fit_prior
from lrsched.pickling import publish as _publish

__all__ = [
    "Advantage",
    "AnnealingLaw",
    "Forecast",
    "FunctionalLaw",
    "MisfitWarning",
    "MultiPowerLaw",
    "Prior",
    "Record",
    "ReturnModel",
    "ReturnState",
    "Switch",
    "Tuned",
    "UnidentifiedWarning",
    "best_peaks",
    "convex_bound",
    "fit",
    "fit_prior",
    "forecast",
    "plan",
    "predict",
    "transfer_horizon",
]

_publish(__name__)
