"""Training stages: spectral pretraining and alignment."""
