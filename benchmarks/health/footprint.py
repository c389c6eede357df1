"""Sections `monitor` and `memory`: what watching costs when nobody asks, and
what remains after many answers.
"""

from __future__ import annotations

import time

from benchmarks.health import wrk
from benchmarks.health.options import Options
from benchmarks.health.report import Section, fitted_slope
from benchmarks.health.rounds import TRIVIAL
from benchmarks.health.servers import OURS, fleet, ours, worker_of
from tests.running import installed

MIB = 1024 * 1024
WHOLE = 1_000_000
_IDLE_SECONDS = 15.0
_SETTLE_SECONDS = 11.0  # a gateway that starts looks more often
_WARM_UP_SLICES = 3
_LEAK_MIB = 4.0  # in a million answers: four bytes each


def monitor(options: Options) -> Section:
    """The gateway with nothing to do, beside a granian that serves the trivial
    route and has nothing to do.
    """
    section = Section(f"monitor: CPU while nobody asks, over {_IDLE_SECONDS:.0f} s")
    with fleet(options.fresh("monitor"), (TRIVIAL,)) as servers:
        time.sleep(_SETTLE_SECONDS)
        watched = [servers.servers[OURS], servers.servers[TRIVIAL]]
        before, began = [one.cpu_seconds() for one in watched], time.monotonic()
        time.sleep(_IDLE_SECONDS)
        lasted = time.monotonic() - began
        shares = [
            (one.cpu_seconds() - used) / lasted for one, used in zip(watched, before, strict=True)
        ]
        section.say(
            f"gateway with its helper {100 * shares[0]:.2f} %, idle trivial server"
            f" {100 * shares[1]:.2f} %"
        )
        cost = shares[0] - shares[1]
        section.aim(
            "the monitor's share of one core", "<= 1 %", f"{100 * cost:.2f} %", cost <= 0.01
        )
    return section


def memory(options: Options) -> Section:
    """The worker's memory over many polls, by the line through it after warming
    up.
    """
    said = "the whole" if options.polls >= WHOLE else f"shortened; --polls {WHOLE} is the whole"
    section = Section(f"memory: {options.polls} polls over 64 connections ({said})")
    with installed(options.fresh("memory"), "gateway", "runner") as here:
        server, worker = ours(here), worker_of(here.processes["gateway"].pid)
        points: list[tuple[float, float]] = []
        answered = refused = 0
        for number in range(10_000):
            one = wrk.press(server, 64, 1)
            answered, refused = answered + one.answers, refused + one.refused + one.lost
            if number >= _WARM_UP_SLICES:
                points.append((answered, worker.memory_info().rss))
            if answered >= options.polls and len(points) > _WARM_UP_SLICES:
                break
        growth = fitted_slope(points) * WHOLE / MIB
        first, last = points[0][1] / MIB, points[-1][1] / MIB
        section.say(
            f"{answered} answers, {refused} not well; worker {first:.1f} -> {last:.1f} MiB after"
            " warming up"
        )
        flat = growth <= _LEAK_MIB
        section.aim(
            "growth in a million polls, fitted",
            f"<= {_LEAK_MIB:.0f} MiB",
            f"{growth:+.1f} MiB",
            flat,
        )
    return section
