"""Clients of the live services."""
