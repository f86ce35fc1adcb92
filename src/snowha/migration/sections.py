"""The sections of the guide that steps belong to."""

from __future__ import annotations

SECTIONS = ("servers", "images", "corosync", "pacemaker", "placement", "proofs", "snow.conf")
"""In the guide's order."""
