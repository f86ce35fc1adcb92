"""Asking for a yes, the same way everywhere. A no, and nobody to ask, are two things."""

from __future__ import annotations

import sys

import click

from snowha.errors import SiteError

ANSWERS = "answer yes, or use --yes"


def ask(question: str) -> bool:
    """Only a typed yes is one. The question goes to stderr: what is on stdout may be data.

    Raises SiteError where there is nobody to answer.
    """
    if not sys.stdin.isatty():
        raise nobody(question)
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:
        raise nobody(question)
    return answer.strip().lower() in ("y", "yes")


def nobody(question: str) -> SiteError:
    """The error for a question that could not be asked."""
    return SiteError(
        f"there is no terminal to ask on: {question}",
        remedy="run it on a terminal, or use --yes",
    )
