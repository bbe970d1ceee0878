"""Builders of SpecCLIP datasets: simulated, from local tables, and from the sky.

`specclip dataset --help` builds a dataset; `load` opens one in any form. Names load on first use:
only the build from the sky needs what reaches the archives.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
