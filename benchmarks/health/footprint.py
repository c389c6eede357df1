"""Sections `monitor` and `memory`: the CPU of the idle monitor, and the memory
that remains after many answers.
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
MILLION = 1_000_000
_IDLE_SECONDS = 15.0
_SETTLE_SECONDS = 11.0  # a gateway that starts looks more often
_WARM_UP_SLICES = 3
_LEAK_MIB = 4.0  # in a million answers: four bytes each


def monitor(options: Options) -> Section:
    """The idle gateway, beside an idle granian that serves the trivial route."""
    section = Section(f"monitor: CPU without requests, over {_IDLE_SECONDS:.0f} s")
    with fleet(options.fresh("monitor"), (TRIVIAL,)) as servers:
        time.sleep(_SETTLE_SECONDS)
        watched = [servers.servers[OURS], servers.servers[TRIVIAL]]
        before, began = [server.cpu_seconds() for server in watched], time.monotonic()
        time.sleep(_IDLE_SECONDS)
        lasted = time.monotonic() - began
        shares = [
            (server.cpu_seconds() - used) / lasted
            for server, used in zip(watched, before, strict=True)
        ]
        section.add(
            f"gateway with its helper {100 * shares[0]:.2f} %, idle trivial server"
            f" {100 * shares[1]:.2f} %"
        )
        cost = shares[0] - shares[1]
        section.aim(
            "the monitor's share of one core", "<= 1 %", f"{100 * cost:.2f} %", cost <= 0.01
        )
    return section


def memory(options: Options) -> Section:
    """The worker's memory over many polls: the slope of the fitted line after
    warming up.
    """
    length = "full length"
    if options.polls < MILLION:
        length = f"shortened; --polls {MILLION} is the full length"
    section = Section(f"memory: {options.polls} polls over 64 connections ({length})")
    with installed(options.fresh("memory"), "gateway", "runner") as installation:
        server, worker = ours(installation), worker_of(installation.processes["gateway"].pid)
        points: list[tuple[float, float]] = []
        answered = refused = 0
        for number in range(10_000):
            slice_ = wrk.press(server, 64, 1)
            answered += slice_.answers
            refused += slice_.refused + slice_.lost
            if number >= _WARM_UP_SLICES:
                points.append((answered, worker.memory_info().rss))
            if answered >= options.polls and len(points) > _WARM_UP_SLICES:
                break
        growth = fitted_slope(points) * MILLION / MIB
        first, last = points[0][1] / MIB, points[-1][1] / MIB
        section.add(
            f"{answered} answers, {refused} refused or lost; worker {first:.1f} -> {last:.1f} MiB after"
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
