"""Evaluation: retrieval, regression and latent space, each with its chance level and interval.

Names load on first use; importing this package loads neither torch nor matplotlib.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
