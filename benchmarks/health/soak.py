"""The real installation under light load, with a fault every minute, for long:
`python -m benchmarks.health.soak`.

`gcr up` runs gateway and runner. A hundred pollers hold every answer against
what is so; the gateway's memory and file handles are followed; it may not
restart. Ends with 1 when any aim was missed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.health.crowd import Crowd
from benchmarks.health.detection import Poller
from benchmarks.health.faults import root_of
from benchmarks.health.report import Section, fitted_slope
from benchmarks.health.servers import worker_of
from benchmarks.health.truth import HEALTHY, RECOVERY_SECONDS, TROUBLES, Stage, Trouble
from gpt_cursor_runner.ledger.ledger import Ledger
from tests.building import patch_body
from tests.running import Installation, installed, wait_until

MIB = 1024 * 1024
POLLERS = 100
_PATCH_EVERY_SECONDS = 5.0
_HOLD_SECONDS = 13.0  # longer than any fault may take to be reported
_EVERY_SECONDS = (30.0, 60.0)  # in a short run, in a long one
_SHORT_HOURS = 0.5
_WARM_UP_SHARE = 0.2
_GROWTH_MIB = 8.0
_GROWTH_HANDLES = 8.0


def main() -> None:
    arguments = _arguments()
    seed = arguments.seed
    if seed is None:
        seed = random.randrange(1_000_000)  # noqa: S311  no secret
    with tempfile.TemporaryDirectory(prefix="gcr-soak-") as place:
        section = soak(Path(place), arguments.hours, seed)
    print(section)
    sys.exit(any(aim.met is False for aim in section.aims))


def soak(place: Path, hours: float, seed: int) -> Section:
    """Inject and repair faults until the hours are over or Ctrl-C; then return
    the report.
    """
    section = Section(f"soak: {hours:g} hours, seed {seed}")
    every = _EVERY_SECONDS[hours > _SHORT_HOURS]
    print(
        f"soak of {hours:g} hours, seed {seed}, a fault every {every:.0f} s, {POLLERS} pollers",
        flush=True,
    )
    dice = random.Random(seed)  # noqa: S311  no secret
    with installed(place, "up") as installation:
        crowd, load, gauge = (
            Crowd(installation.port, POLLERS, dice),
            Load(installation),
            Gauge(worker_of(root_of(installation))),
        )
        crowd.start()
        load.start()
        gauge.start()
        recoveries: list[float] = []
        deck: list[Trouble] = []
        until = time.monotonic() + 3600 * hours
        try:
            while time.monotonic() + every <= until:
                due = time.monotonic() + every
                deck = deck or dice.sample(
                    TROUBLES, len(TROUBLES)
                )  # each comes before one comes again
                recoveries.append(_one_fault(installation, crowd, load, deck.pop()))
                time.sleep(max(0.0, due - time.monotonic()))
        except KeyboardInterrupt:
            section.add("interrupted; the figures are those until then")
        load.stop()
        crowd.stop()
        gauge.stop()
        _judge_answers(section, crowd, recoveries)
        _judge_gauge(section, gauge)
        _judge_patches(section, load)
    return section


def _one_fault(installation: Installation, crowd: Crowd, load: Load, trouble: Trouble) -> float:
    """Inject, hold and repair a fault; returns the seconds until `/health` was
    healthy again.
    """
    if trouble.denies_storage:
        load.rest()
    poller = Poller(installation.port)
    crowd.stage = Stage(trouble, time.monotonic())
    with trouble.strike(installation):
        began = time.monotonic()
        crowd.stage = Stage(trouble, began)
        reported_after = poller.wait_until(
            lambda body: body["overall_status"] in trouble.words, _HOLD_SECONDS
        )
        time.sleep(max(0.0, began + _HOLD_SECONDS - time.monotonic()))
        crowd.stage = Stage(trouble, began, time.monotonic())
    crowd.stage = Stage(trouble, began, time.monotonic())
    recovered = poller.wait_until(lambda body: body["overall_status"] == HEALTHY)
    poller.close()
    load.go_on()
    report = "not reported"
    if reported_after is not None:
        report = f"reported after {reported_after:.2f} s"
    recovery = "not healthy again"
    if recovered is not None:
        recovery = f"healthy {recovered:.2f} s after its end"
    print(f"{time.strftime('%H:%M:%S')} {trouble.name:16} {report}, {recovery}", flush=True)
    if recovered is None:
        return float("inf")
    return recovered


@dataclass
class Load:
    """A patch every five seconds, but none while storage is denied: patches
    that fail then would be reported as trouble for a long time.
    """

    installation: Installation
    sent: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _going: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._ledger: Ledger = self.installation.ledger()

    def start(self) -> None:
        self._going.set()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def rest(self) -> None:
        """Wait until no patch is in progress."""
        self._going.clear()
        time.sleep(0.5)
        self.wait_until_idle()

    def go_on(self) -> None:
        self._going.set()

    def stop(self) -> None:
        self._over.set()
        self._going.set()
        if self._thread:
            self._thread.join()

    def wait_until_idle(self) -> None:
        def idle() -> bool:
            facts = self._ledger.queue_facts()
            return facts.queued + facts.running == 0

        wait_until(idle, "patches do not end")
        time.sleep(1)  # the last report

    def unlanded(self) -> list[str]:
        return [sent for sent in self.sent if self._ledger.queries.get(sent).status != "landed"]

    def first_broken_link(self) -> object:
        return self._ledger.first_broken_link()

    def _send(self) -> None:
        number = 0
        while not self._over.wait(_PATCH_EVERY_SECONDS):
            if self._going.is_set():
                number += 1
                body = patch_body(id=f"soak-{number}")
                if self.installation.call("POST", "/webhook", body).status == 202:
                    self.sent.append(f"soak-{number}")


@dataclass
class Gauge:
    """The worker's memory and file handles over time."""

    worker: psutil.Process
    points: list[tuple[float, int, int]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()

    def growth(self, column: int) -> float:
        """The rise of the fitted line from the end of the warm-up to the end."""
        warm = self.points[int(_WARM_UP_SHARE * len(self.points)) :]
        line = [(point[0], float(point[column])) for point in warm]
        return fitted_slope(line) * (line[-1][0] - line[0][0])

    def _look(self) -> None:
        while not self._over.wait(2):
            try:
                self.points.append(
                    (time.monotonic(), self.worker.memory_info().rss, self.worker.num_fds())
                )
            except psutil.NoSuchProcess:  # the report counts the instances
                return


def _judge_answers(section: Section, crowd: Crowd, recoveries: list[float]) -> None:
    tally = crowd.tally
    section.add(f"{tally.answers} answers, {dict(tally.words)}; {len(recoveries)} faults")
    section.add(
        f"answered in p50 {tally.percentile_ms(0.5)} ms, p99 {tally.percentile_ms(0.99)} ms"
    )
    section.lines += tally.examples
    for kind in ("no answer", "malformed", "untrue"):
        section.aim(
            f"polls that met with {kind}", "0", str(tally.wrong[kind]), tally.wrong[kind] == 0
        )
    worst = max(recoveries, default=0.0)
    limit = RECOVERY_SECONDS
    section.aim(
        "healthy after each fault",
        f"within {limit:.0f} s",
        f"{worst:.1f} s at worst",
        worst <= limit,
    )
    count = len(tally.instances)
    section.aim("gateways that answered", "1: it never restarted", str(count), count == 1)


def _judge_gauge(section: Section, gauge: Gauge) -> None:
    if len(gauge.points) < 10:
        section.aim("memory and handles", "flat", "too short to tell", None)
        return
    hours = (gauge.points[-1][0] - gauge.points[0][0]) / 3600
    memory, handles = gauge.growth(1) / MIB, gauge.growth(2)
    _, rss, fds = gauge.points[-1]
    section.add(
        f"gateway at the end: {rss / MIB:.1f} MiB, {fds} file handles, watched for {hours:.2f} h"
    )
    flat = memory <= _GROWTH_MIB
    section.aim(
        "memory, rise of the fitted line", f"<= {_GROWTH_MIB:.0f} MiB", f"{memory:+.2f} MiB", flat
    )
    flat = handles <= _GROWTH_HANDLES
    section.aim("file handles, the same", f"<= {_GROWTH_HANDLES:.0f}", f"{handles:+.2f}", flat)


def _judge_patches(section: Section, load: Load) -> None:
    load.wait_until_idle()
    unlanded, broken = load.unlanded(), load.first_broken_link()
    figure = (
        f"{len(load.sent) - len(unlanded)} of"
        f" {len(load.sent)}{'' if broken is None else ', its chain broken'}"
    )
    section.aim("patches accepted and landed", "all", figure, not unlanded and broken is None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, help="the same faults again")
    return parser.parse_args()


if __name__ == "__main__":
    main()
