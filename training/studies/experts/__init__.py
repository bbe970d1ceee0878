"""Mixture of experts: data, fitting, measures, report and figures."""
