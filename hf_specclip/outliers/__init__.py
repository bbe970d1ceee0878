"""Outlier detection in the shared space and its explanation."""
