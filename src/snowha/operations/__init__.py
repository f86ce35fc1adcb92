"""Everyday work on a running site."""
