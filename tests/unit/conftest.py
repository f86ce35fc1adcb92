"""What pytest asks of every room. It stands in a module of its own: mypy knows one conftest only."""

from machine_hooks import (  # noqa: F401
    pytest_configure,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    pytest_terminal_summary,
)
