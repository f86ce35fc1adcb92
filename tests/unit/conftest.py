"""For all unit tests."""

from __future__ import annotations

from hypothesis import settings

# `make unit` is run after every change. What needs more examples says so at the test.
settings.register_profile("quick", max_examples=50, deadline=None)
settings.load_profile("quick")
