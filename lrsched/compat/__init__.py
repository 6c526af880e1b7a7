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

from lrsched.compat._tools.libraries import Libraries as _Libraries
from lrsched.compat._tools.libraries import libraries as _libraries
from lrsched.compat._tools.libraries import library as _library
from lrsched.pickling import publish as _publish

if TYPE_CHECKING:  # the libraries, each by name, or their functions would be of any type
    from lrsched.compat import (
        allennlp as allennlp,
    )
    from lrsched.compat import (
        big_vision as big_vision,
    )
    from lrsched.compat import (
        composer as composer,
    )
    from lrsched.compat import (
        deepspeed as deepspeed,
    )
    from lrsched.compat import (
        detectron2 as detectron2,
    )
    from lrsched.compat import (
        diffusers as diffusers,
    )
    from lrsched.compat import (
        fairseq as fairseq,
    )
    from lrsched.compat import (
        fastai as fastai,
    )
    from lrsched.compat import (
        fvcore as fvcore,
    )
    from lrsched.compat import (
        gpt_neox as gpt_neox,
    )
    from lrsched.compat import (
        hyperbolic_lr as hyperbolic_lr,
    )
    from lrsched.compat import (
        ignite as ignite,
    )
    from lrsched.compat import (
        keras as keras,
    )
    from lrsched.compat import (
        levanter as levanter,
    )
    from lrsched.compat import (
        llmfoundry as llmfoundry,
    )
    from lrsched.compat import (
        maxtext as maxtext,
    )
    from lrsched.compat import (
        megatron as megatron,
    )
    from lrsched.compat import (
        mlx as mlx,
    )
    from lrsched.compat import (
        mmengine as mmengine,
    )
    from lrsched.compat import (
        nanotron as nanotron,
    )
    from lrsched.compat import (
        nemo as nemo,
    )
    from lrsched.compat import (
        olmo_core as olmo_core,
    )
    from lrsched.compat import (
        optax as optax,
    )
    from lrsched.compat import (
        paddle as paddle,
    )
    from lrsched.compat import (
        power_lr as power_lr,
    )
    from lrsched.compat import (
        pytorch_optimizer as pytorch_optimizer,
    )
    from lrsched.compat import (
        pytorch_warmup as pytorch_warmup,
    )
    from lrsched.compat import (
        scenic as scenic,
    )
    from lrsched.compat import (
        speechbrain as speechbrain,
    )
    from lrsched.compat import (
        t5x as t5x,
    )
    from lrsched.compat import (
        tensorflow_addons as tensorflow_addons,
    )
    from lrsched.compat import (
        tf_models as tf_models,
    )
    from lrsched.compat import (
        thinc as thinc,
    )
    from lrsched.compat import (
        timm as timm,
    )
    from lrsched.compat import (
        torch as torch,
    )
    from lrsched.compat import (
        torchtitan as torchtitan,
    )
    from lrsched.compat import (
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
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_libraries())}")
        return _library(name)


def __dir__() -> list[str]:
    """Return the libraries."""
    return _libraries()
