"""X-ray spectra: OGIP files in, responses, rebinning, spectral models, fits and plots.

Names load on first use; importing this package loads neither torch nor astropy.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
