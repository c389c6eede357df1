"""Config and the gateway's parts to the checks that the monitor runs.

The order is the order of the checks in every answer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from gpt_cursor_runner.config import LOOPBACK_HOSTS, Config, environment_of_checks
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.gateway.guard import ConcurrencyLimit, InFlight
from gpt_cursor_runner.gateway.serve import BLOCKING_THREADS
from gpt_cursor_runner.gateway.writer import Writer
from gpt_cursor_runner.health.monitor.model import Identity
from gpt_cursor_runner.health.monitor.monitor import Monitor
from gpt_cursor_runner.health.probes.command import CommandProbe
from gpt_cursor_runner.health.probes.external_runner import ExternalRunnerProbe
from gpt_cursor_runner.health.probes.filesystem import FilesystemProbe
from gpt_cursor_runner.health.probes.port import PortProbe
from gpt_cursor_runner.health.probes.queue import QueueProbe, WatchedLedger
from gpt_cursor_runner.health.probes.repositories import RepositoriesProbe
from gpt_cursor_runner.health.probes.runner import RunnerProbe
from gpt_cursor_runner.health.probes.sandbox import SandboxProbe
from gpt_cursor_runner.health.probes.self_call import SelfCall
from gpt_cursor_runner.health.probes.tunnel import (
    TunnelEdgeProbe,
    TunnelProcessProbe,
    TunnelPublicProbe,
)
from gpt_cursor_runner.health.probes.web import WebProbe
from gpt_cursor_runner.health.probes.webhook import WebhookProbe
from gpt_cursor_runner.landing.readiness import obstacles
from gpt_cursor_runner.wiring.machine import build_machine


@dataclass(frozen=True)
class RequestParts:
    """The parts of the gateway that every request passes."""

    permits: ConcurrencyLimit
    in_flight: InFlight
    writer: Writer


def watch_gateway(
    monitor: Monitor,
    config: Config,
    ledger: WatchedLedger,
    identity: Identity,
    requests: RequestParts,
) -> RunnerProbe:
    """Watch the gateway, its ledger and its runner; returns the check of the
    runner.
    """
    server, state = config.server, config.state
    self_call = SelfCall(server.host, server.port, identity.instance_id)
    monitor.watch(WebProbe(self_call, requests.in_flight.count, BLOCKING_THREADS))
    monitor.watch(PortProbe(self_call))
    monitor.watch(FilesystemProbe(state.patches_dir))

    def blocked_repositories() -> Collection[str]:
        return runner.blocked_repositories()

    queue = QueueProbe(ledger, requests.writer.recorded_at, blocked_repositories)
    monitor.watch(queue)
    monitor.watch(WebhookProbe(requests.permits.free, requests.writer.is_alive))
    runner = RunnerProbe(state.dir, queue.claimable)
    monitor.watch(runner)
    return runner


def watch_surroundings(
    monitor: Monitor, settings: Settings, identity: Identity, runner: RunnerProbe
) -> None:
    """Watch what the owner has configured beside the gateway."""
    config = settings.config
    health, public_url = config.health, config.server.public_url
    machine = build_machine(settings)
    monitor.watch(
        RepositoriesProbe(
            lambda: settings.config.repository,
            lambda repository: obstacles(repository, machine),
            runner.is_working,
        )
    )
    monitor.watch(SandboxProbe(machine.proof, lambda: settings.config.repository))
    if health.external_runner:
        monitor.watch(ExternalRunnerProbe(health.external_runner))
    if health.tunnel_metrics:
        monitor.watch(TunnelProcessProbe())
        monitor.watch(TunnelEdgeProbe(health.tunnel_metrics))
    if _leaves_this_machine(public_url):
        monitor.watch(TunnelPublicProbe(public_url, identity.instance_id))
    for check in health.check:
        monitor.watch(CommandProbe(check, environment_of_checks()))


def _leaves_this_machine(url: str) -> bool:
    address = urlsplit(url)
    if address.scheme == "https":
        return True
    return bool(address.hostname) and address.hostname not in LOOPBACK_HOSTS
