"""Loss laws and what follows from them: forecasts, plans, the return model."""

from lrsched.forecast._annealing import AnnealingLaw
from lrsched.forecast._forecast import Forecast, forecast
from lrsched.forecast._law import UnidentifiedWarning, predict
from lrsched.forecast._multipower import MultiPowerLaw
from lrsched.forecast._prior import Prior, fit_prior
from lrsched.forecast._return import ReturnModel

__all__ = ["AnnealingLaw", "Forecast", "MultiPowerLaw", "Prior", "ReturnModel", "UnidentifiedWarning", "fit_prior", "forecast", "predict"]
