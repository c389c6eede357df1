"""Config to what watches the gateway, keeps its history, and tells others."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from gpt_cursor_runner.alerts.dead_mans_switch import DeadMansSwitch
from gpt_cursor_runner.alerts.dispatch import AlertDispatcher
from gpt_cursor_runner.alerts.incidents import AlertPolicy
from gpt_cursor_runner.alerts.probe import AlertsProbe
from gpt_cursor_runner.alerts.recorder import Recorder
from gpt_cursor_runner.alerts.service_notify import ServiceNotifier
from gpt_cursor_runner.alerts.sink import Sink
from gpt_cursor_runner.alerts.sinks import build_sinks
from gpt_cursor_runner.config import Config, environment_of_checks, notify_socket, watchdog_seconds
from gpt_cursor_runner.gateway.guard import ConcurrencyLimit, InFlight
from gpt_cursor_runner.gateway.serve import BLOCKING_THREADS
from gpt_cursor_runner.gateway.writer import Writer
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import Identity
from gpt_cursor_runner.health.monitor.monitor import Monitor
from gpt_cursor_runner.health.monitor.sampler import Sampler
from gpt_cursor_runner.health.probes.command import OwnCheck
from gpt_cursor_runner.health.probes.repositories import WatchedRepository
from gpt_cursor_runner.health.probes.standard import Surroundings, standard_probes
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.system.clock import SteadyClock, boottime


@dataclass(frozen=True)
class Inner:
    """What only the gateway itself can tell of itself."""

    permits: ConcurrencyLimit
    inside: InFlight
    writer: Writer


@dataclass(frozen=True)
class Health:
    """The threads that watch and tell. `clock` is the history's own: it passes
    over jumps of the wall clock.
    """

    monitor: Monitor
    recorder: Recorder
    dispatch: AlertDispatcher
    pinger: DeadMansSwitch | None
    notify: ServiceNotifier | None
    clock: Callable[[], float]

    def start(self) -> None:
        for part in (self.monitor, self.recorder, self.dispatch, self.pinger, self.notify):
            if part is not None:
                part.start()

    def stop(self) -> None:
        for part in (self.notify, self.pinger, self.dispatch, self.recorder, self.monitor):
            if part is not None:
                part.stop()


def build_health(config: Config, ledger: Ledger, identity: Identity, inner: Inner) -> Health:
    """Nothing runs until `start`. Raises InvalidSink when an alert sink cannot
    work.
    """
    clock, sinks, sampler = SteadyClock(), alert_sinks(config), Sampler()
    dispatch = AlertDispatcher(ledger.alerts, sinks, clock, random.random)
    probes = standard_probes(
        state_directory=config.state.dir,
        patches_directory=config.state.patches_dir,
        host=config.server.host,
        port=config.server.port,
        instance_id=identity.instance_id,
        ledger=ledger,
        permits_free=inner.permits.free,
        writer_alive=inner.writer.is_alive,
        recorded_at=inner.writer.recorded_at,
        busy=inner.inside.count,
        threads=BLOCKING_THREADS,
        latest=lambda: sampler.latest,
        vitals=lambda: monitor.vitals(),  # noqa: PLW0108  it is made of these probes
        history_behind=lambda: recorder.unwritten_flips(),  # noqa: PLW0108
        surroundings=_surroundings(config),
    )
    alerts = [AlertsProbe(dispatch.sink_states, clock)] if sinks else []
    monitor = Monitor([*probes, *alerts], sampler)
    recorder = Recorder(
        monitor.snapshot, ledger.alerts, ledger.uptime, _policy(config, identity, sinks), clock
    )

    def verdict() -> Verdict:
        return judge(monitor.snapshot(), boottime())

    address, health = notify_socket(), config.health
    return Health(
        monitor=monitor,
        recorder=recorder,
        dispatch=dispatch,
        pinger=DeadMansSwitch(health.ping_url, health.ping_seconds, verdict)
        if health.ping_url
        else None,
        notify=ServiceNotifier(address, watchdog_seconds() or 0.0, verdict) if address else None,
        clock=clock,
    )


def alert_sinks(config: Config) -> list[Sink]:
    """Where alerts go; raise InvalidSink, naming the key and the fix, when one
    of them cannot work.
    """
    alerts = config.alerts
    return build_sinks(alerts.webhook_url, alerts.webhook_secret, alerts.apprise, time.time)


def _policy(config: Config, identity: Identity, sinks: list[Sink]) -> AlertPolicy:
    return AlertPolicy(
        sinks=tuple(sink.name for sink in sinks),
        instance_id=identity.instance_id,
        minimum_severity=config.alerts.minimum_severity,
        remind_seconds=config.alerts.remind_hours * 3600,
    )


def _surroundings(config: Config) -> Surroundings:
    return Surroundings(
        repositories=tuple(
            WatchedRepository(one.name, one.path, one.branch) for one in config.repository
        ),
        external_runner=config.health.external_runner,
        tunnel_metrics=config.health.tunnel_metrics,
        public_url=config.server.public_url,
        own_checks=tuple(OwnCheck(**one.model_dump()) for one in config.health.check),
        environment=environment_of_checks(),
    )
