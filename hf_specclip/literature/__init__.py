"""Texts about a source: summary sections, sentences, stated quantities and text embedders.

Names load on first use; importing this package loads no model library.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
