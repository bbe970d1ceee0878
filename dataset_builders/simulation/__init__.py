"""Simulated Chandra catalogue with literature; its truth is known."""
