"""Maximum-likelihood fits of spectral models."""
