"""Reports of patches that have ended or are held, and are not reported yet.

The ledger keeps the list. A patch that a person ended gets its report, too, and
so does one whose runner was killed before the report.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.status import FINAL
from gpt_cursor_runner.runner.reporting import write_report
from gpt_cursor_runner.runner.repositories import Repositories

log = structlog.get_logger()

# Few enough that the next patch does not wait long for its turn.
_REPORTS_A_TURN = 20
_RETRY_SECONDS = 60.0


@dataclass
class OwedReports:
    """Writes the owed reports, some at each turn of the loop."""

    ledger: Ledger
    repositories: Repositories
    patches_dir: Path
    # Patches whose report failed, and the monotonic time of the next try.
    _postponed: dict[str, float] = field(default_factory=dict)

    def write_some(self) -> None:
        self._forget_expired()
        for stored in self.ledger.queries.unreported(_REPORTS_A_TURN, but_not=self._postponed):
            try:
                self._write(stored)
            except SQLAlchemyError:
                raise
            except Exception:  # the loop's edge: a report that cannot be written holds up no patch
                log.exception("report_failed", patch_id=stored.id)
                self._postponed[stored.id] = time.monotonic() + _RETRY_SECONDS

    def _forget_expired(self) -> None:
        now = time.monotonic()
        for patch_id, retry_at in list(self._postponed.items()):
            if retry_at <= now:
                del self._postponed[patch_id]

    def _write(self, stored: StoredPatch) -> None:
        if stored.status in FINAL:
            # A person may have ended it in the ledger, where git is not asked.
            self.repositories.delete_seal(stored)
        history = self.ledger.queries.events(stored.id)
        request = self.ledger.queries.request(stored.id)
        evidence = Evidence(self.patches_dir / stored.id)
        report = write_report(evidence, stored, history, request)
        self.ledger.leases.mark_reported(stored, report, self.ledger.clock())
