"""From ha.toml to the parts of the page: what ``snow ha status`` reads, and the journal."""

from __future__ import annotations

import time
from pathlib import Path

from snowha.dashboard import parts
from snowha.dashboard.journal_summary import JournalSummary, JournalSummaryReader
from snowha.dashboard.parts import Parts
from snowha.errors import SnowError
from snowha.live import connect
from snowha.operations import status as running
from snowha.operations.status import SiteStatus


class SiteReader:
    """Called for each reading, by one thread: the parts of the page. Raises SnowError."""

    def __init__(self, file: Path, summary: JournalSummaryReader) -> None:
        self._file = file
        self._summary = summary

    def __call__(self) -> Parts:
        given = connect.read(self._file)
        status = running.look(given)
        summary, trouble = self._recorded(given, status)
        return {**parts.of_site(status, summary), "journal": {"trouble": trouble}}

    def _recorded(self, given: connect.HaToml, status: SiteStatus) -> tuple[JournalSummary | None, str]:
        """What the journal says, or why it cannot be read. The rest of the page does not depend on it."""
        answering = {server.name for server in status.servers if server.reachable}
        try:
            there = connect.connect(given.content)
            hosts = [host for name, host in there.hosts.items() if name in answering]
            return self._summary.read(hosts, there.name, time.monotonic()), ""
        except SnowError as error:
            return None, str(error)
