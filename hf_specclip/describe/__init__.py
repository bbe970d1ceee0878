"""Description of a spectrum: literature, similar spectra, physical variables, outlier score."""
