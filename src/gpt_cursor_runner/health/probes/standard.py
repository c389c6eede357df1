"""The checks of a gateway, one file each; this is the list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gpt_cursor_runner.health.monitor.model import Metrics
from gpt_cursor_runner.health.monitor.monitor import Vitals
from gpt_cursor_runner.health.monitor.probe import Probe
from gpt_cursor_runner.health.probes.command import CommandProbe, OwnCheck
from gpt_cursor_runner.health.probes.external_runner import ExternalRunnerProbe
from gpt_cursor_runner.health.probes.filesystem import FilesystemProbe
from gpt_cursor_runner.health.probes.monitor import MonitorProbe
from gpt_cursor_runner.health.probes.port import PortProbe
from gpt_cursor_runner.health.probes.queue import LedgerProbe, QueueProbe
from gpt_cursor_runner.health.probes.repositories import (
    RepositoriesProbe,
    WatchedRepository,
)
from gpt_cursor_runner.health.probes.resources import ResourcesProbe
from gpt_cursor_runner.health.probes.runner import RunnerProbe
from gpt_cursor_runner.health.probes.self_call import SelfCall
from gpt_cursor_runner.health.probes.tunnel import (
    TunnelEdgeProbe,
    TunnelProcessProbe,
    TunnelPublicProbe,
)
from gpt_cursor_runner.health.probes.web import WebProbe
from gpt_cursor_runner.health.probes.webhook import WebhookProbe


@dataclass(frozen=True)
class Surroundings:
    """What the owner has told to watch beside the gateway itself; an empty
    value is watched by nobody.
    """

    repositories: tuple[WatchedRepository, ...] = ()
    external_runner: str = ""
    tunnel_metrics: str = ""
    public_url: str = ""
    own_checks: tuple[OwnCheck, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def search_path(self) -> str:
        return self.environment.get("PATH", "")


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
    recorded_at: Callable[[], float],
    busy: Callable[[], int],
    threads: int,
    latest: Callable[[], Metrics],
    vitals: Callable[[], Vitals],
    history_behind: Callable[[], int],
    surroundings: Surroundings,
) -> tuple[Probe, ...]:
    """Every check that a gateway runs, in the order in which equal troubles are
    listed.
    """
    self_call = SelfCall(host, port, instance_id)
    queue = QueueProbe(ledger, recorded_at)
    runner = RunnerProbe(state_directory, queue.unmoved)
    return (
        WebProbe(self_call, busy, threads),
        PortProbe(self_call),
        FilesystemProbe(patches_directory),
        queue,
        WebhookProbe(permits_free, writer_alive),
        runner,
        MonitorProbe(vitals, history_behind),
        ResourcesProbe(latest),
        *_around(surroundings, instance_id, runner.at_work),
    )


def _around(told: Surroundings, instance_id: str, at_work: Callable[[], bool]) -> list[Probe]:
    probes: list[Probe] = []
    if told.repositories:
        probes.append(RepositoriesProbe(told.repositories, told.search_path, at_work))
    if told.external_runner:
        probes.append(ExternalRunnerProbe(told.external_runner))
    if told.tunnel_metrics:
        probes += [TunnelProcessProbe(), TunnelEdgeProbe(told.tunnel_metrics)]
    if _is_public(told.public_url):
        probes.append(TunnelPublicProbe(told.public_url, instance_id))
    return [*probes, *(CommandProbe(check, told.environment) for check in told.own_checks)]


def _is_public(url: str) -> bool:
    """Whether an address leads out of this machine."""
    seen = urlsplit(url)
    return seen.scheme == "https" or (seen.hostname or "localhost") not in (
        "localhost",
        "127.0.0.1",
        "::1",
    )
