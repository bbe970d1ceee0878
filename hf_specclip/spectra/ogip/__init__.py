"""Readers of OGIP files: spectra, responses, backgrounds."""
