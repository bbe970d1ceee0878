"""X-ray spectra and the literature about their sources in one embedding space.

Names load on first use: importing the package loads neither torch nor transformers. The first
model name registers the models with transformers' `Auto` classes.
"""

from typing import Any

import lazy_loader

from .version import __version__ as __version__

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    value = _load(name)
    if getattr(value, "__module__", "").startswith(f"{__name__}.models."):
        from .models.auto import register_models

        register_models()
    return value
