"""Forecasts and dry runs of a build."""
