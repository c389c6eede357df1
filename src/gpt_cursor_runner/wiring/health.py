"""Config to the threads that watch the gateway, keep its history and send
alerts.
"""

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
from gpt_cursor_runner.config import Config, notify_socket, watchdog_seconds
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import Identity
from gpt_cursor_runner.health.monitor.monitor import Monitor
from gpt_cursor_runner.health.monitor.sampler import Sampler
from gpt_cursor_runner.health.probes.monitor import MonitorProbe
from gpt_cursor_runner.health.probes.resources import ResourcesProbe
from gpt_cursor_runner.health.probes.settings import SettingsProbe
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.system.clock import SteadyClock, boottime
from gpt_cursor_runner.wiring.probes import RequestParts, watch_gateway, watch_surroundings


@dataclass(frozen=True)
class HealthThreads:
    """The threads of health. `clock` is that of the history, which ignores jumps
    of the wall clock.
    """

    monitor: Monitor
    recorder: Recorder
    dispatcher: AlertDispatcher
    dead_mans_switch: DeadMansSwitch | None
    service_notifier: ServiceNotifier | None
    clock: Callable[[], float]

    def start(self) -> None:
        for part in (
            self.monitor,
            self.recorder,
            self.dispatcher,
            self.dead_mans_switch,
            self.service_notifier,
        ):
            if part is not None:
                part.start()

    def stop(self) -> None:
        for part in (
            self.service_notifier,
            self.dead_mans_switch,
            self.dispatcher,
            self.recorder,
            self.monitor,
        ):
            if part is not None:
                part.stop()


def build_health(
    settings: Settings, ledger: Ledger, identity: Identity, requests: RequestParts
) -> HealthThreads:
    """Nothing runs until `start`. Raises InvalidSink when an alert sink cannot
    work.
    """
    config = settings.config
    clock, sampler = SteadyClock(), Sampler()
    monitor = Monitor(sampler)
    sinks = alert_sinks(config)
    dispatcher = AlertDispatcher(ledger.alerts, sinks, clock, random.random)
    policy = _policy(config, identity, sinks)
    recorder = Recorder(monitor.snapshot, ledger.alerts, ledger.uptime, policy, clock)

    runner = watch_gateway(monitor, config, ledger, identity, requests)
    monitor.watch(MonitorProbe(monitor.stats, recorder.unwritten_flips))
    monitor.watch(ResourcesProbe(lambda: sampler.latest))
    monitor.watch(SettingsProbe(lambda: settings.state))
    watch_surroundings(monitor, settings, identity, runner)
    if sinks:
        monitor.watch(AlertsProbe(dispatcher.sink_states, clock))

    def verdict() -> Verdict:
        return judge(monitor.snapshot(), boottime())

    return HealthThreads(
        monitor=monitor,
        recorder=recorder,
        dispatcher=dispatcher,
        dead_mans_switch=_dead_mans_switch(config, verdict),
        service_notifier=_service_notifier(verdict),
        clock=clock,
    )


def alert_sinks(config: Config) -> list[Sink]:
    """The configured sinks; raises InvalidSink, naming the key and the fix, when
    one of them cannot work.
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


def _dead_mans_switch(config: Config, verdict: Callable[[], Verdict]) -> DeadMansSwitch | None:
    health = config.health
    if not health.ping_url:
        return None
    return DeadMansSwitch(health.ping_url, health.ping_seconds, verdict)


def _service_notifier(verdict: Callable[[], Verdict]) -> ServiceNotifier | None:
    address = notify_socket()
    if not address:
        return None
    return ServiceNotifier(address, watchdog_seconds() or 0.0, verdict)
