"""Classification of spectra by class names (zero-shot)."""
