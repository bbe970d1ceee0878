"""Event lists: regions, good times, spectra and light curves."""
