"""Clients of the services on the network, each of which knows none of the others.

All that fetch raise `ServiceError` when a service fails for good; what it owes stays wanted.
"""
