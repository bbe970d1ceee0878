"""Mixture of experts: data, fit, evaluation and report."""
