"""Clients of the network services; all raise `ServiceError`, and unfinished items stay queued."""
