"""X-ray spectra and the literature about their sources in one embedding space."""
