"""Domains that come, change their size, and go, on a finished cluster or on a single server."""
