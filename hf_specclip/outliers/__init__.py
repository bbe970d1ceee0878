"""Outlier detection: detector, reference sources, files and explanations."""
