"""Other libraries' schedules under their own names and arguments, as schedules of this library.

    from lrsched import compat
    compat.torch.OneCycleLR(max_lr=0.1, total_steps=1000)
    compat.optax.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 1000)

There is one module a library; none imports the library it is named after. A function has the library's own name,
arguments and defaults. Where the base rate lives in the optimizer, `lr` stands in the optimizer's place; where training
stands (`last_epoch`) is no part of a schedule. The value at step t is what the library's optimizer uses for its update
number t, with its own idea of the warm-up's first step, of the length and of what comes after the end. Where that is
plainly a bug of the library, the docstring says so and says what is done here. `remarks` tells a user of one library
what the same numbers mean in it.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from lrsched._core.names import ALIASES as _ALIASES
from lrsched._core.names import closest as _closest
from lrsched.compat._tools import Libraries as _Libraries
from lrsched.compat._tools import libraries as _libraries
from lrsched.compat._tools import library as _library
from lrsched.pickling import publish as _publish

if TYPE_CHECKING:  # or functions of libraries would be of any type; without `as` a library would count as private
    from lrsched.compat import (  # isort: skip
        allennlp as allennlp,
        big_vision as big_vision,
        composer as composer,
        deepspeed as deepspeed,
        detectron2 as detectron2,
        diffusers as diffusers,
        fairseq as fairseq,
        fastai as fastai,
        fvcore as fvcore,
        gpt_neox as gpt_neox,
        hyperbolic_lr as hyperbolic_lr,
        ignite as ignite,
        keras as keras,
        levanter as levanter,
        llmfoundry as llmfoundry,
        maxtext as maxtext,
        megatron as megatron,
        mlx as mlx,
        mmengine as mmengine,
        nanotron as nanotron,
        nemo as nemo,
        olmo_core as olmo_core,
        optax as optax,
        paddle as paddle,
        power_lr as power_lr,
        pytorch_optimizer as pytorch_optimizer,
        pytorch_warmup as pytorch_warmup,
        scenic as scenic,
        speechbrain as speechbrain,
        t5x as t5x,
        tensorflow_addons as tensorflow_addons,
        tf_models as tf_models,
        thinc as thinc,
        timm as timm,
        torch as torch,
        torchtitan as torchtitan,
        transformers as transformers,
    )
    from lrsched.compat._remarks import Remark, remarks

__all__ = ["Remark", "remarks"]

sys.modules[__name__].__class__ = _Libraries


if not TYPE_CHECKING:  # to whom it would give any name

    def __getattr__(name: str) -> Any:
        """Import the module of one library, or what is said of them, when it is first used."""
        if name in __all__:
            globals()[name] = item = getattr(importlib.import_module(f"{__name__}._remarks"), name)
            _publish(__name__)
            return item
        if name.startswith("_") or name not in _libraries():
            near = [_ALIASES[name]] if name in _ALIASES else _closest(name, _libraries())
            raise AttributeError(
                f"module {__name__!r} has no attribute {name!r}; write compat.{' or compat.'.join(near)}"
            )
        return _library(name)


def __dir__() -> list[str]:
    """Return the libraries."""
    return _libraries()
