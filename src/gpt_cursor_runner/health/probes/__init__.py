"""The checks of a gateway, one file each; this is the list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gpt_cursor_runner.health.probe import Probe
from gpt_cursor_runner.health.probes.filesystem import FilesystemProbe
from gpt_cursor_runner.health.probes.port import PortProbe
from gpt_cursor_runner.health.probes.queue import LedgerProbe, QueueProbe
from gpt_cursor_runner.health.probes.runner import RunnerProbe
from gpt_cursor_runner.health.probes.web import WebProbe
from gpt_cursor_runner.health.probes.webhook import WebhookProbe
from gpt_cursor_runner.health.self_call import SelfCall


def standard_probes(
    *,
    state_directory: Path,
    patches_directory: Path,
    host: str,
    port: int,
    instance_id: str,
    ledger: LedgerProbe,
    permits_free: Callable[[], int],
    writer_alive: Callable[[], bool],
    busy: Callable[[], int],
    threads: int,
) -> tuple[Probe, ...]:
    """Every check that a gateway runs, in the order in which equal troubles are listed."""
    self_call = SelfCall(host, port, instance_id)
    return (
        WebProbe(self_call, busy, threads),
        PortProbe(self_call),
        FilesystemProbe(patches_directory),
        QueueProbe(ledger),
        WebhookProbe(permits_free, writer_alive),
        RunnerProbe(state_directory),
    )
