"""Ideal observer: the best possible retrieval and estimation on the simulated sky."""
