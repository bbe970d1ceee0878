"""Search: the index of spectra and texts, and text queries."""
