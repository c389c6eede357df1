"""Sections `ratios`, `processes` and `hung`: answers for each second, beside a
route that does nothing.
"""

from __future__ import annotations

import asyncio
import statistics
from concurrent.futures import ThreadPoolExecutor

import psutil

from benchmarks.health.clients import fairness
from benchmarks.health.options import Options
from benchmarks.health.peers.serving import PEERS
from benchmarks.health.report import Section
from benchmarks.health.rounds import NAIVE, TRIVIAL, Pace, Row, against, measure, table
from benchmarks.health.servers import OURS, Fleet, fleet, helper_of
from benchmarks.health.sleepers import sleepers

CONNECTIONS = (1, 64, 256)
_NAMES = (TRIVIAL, OURS, *(name for name in PEERS if name != TRIVIAL))
_FAIR_SECONDS = 1.5
_ALONE_SECONDS = 8.0
# A peer that scans all processes gets slow with many of them, and stays busy
# with abandoned requests for a long time.
_SLOW = Pace(rounds=2, seconds=3)
_SLOW_IN_A_CROWD = Pace(rounds=1, seconds=10)


def ratios(options: Options) -> Section:
    """Ours and every peer at 1, 64 and 256 connections."""
    section = Section("ratios: each server over the trivial Flask route of the same round")
    with fleet(options.fresh("ratios")) as servers:
        section.add(
            f"{len(psutil.pids())} processes, {len(psutil.net_connections('tcp'))} rows in the TCP"
            " table"
        )
        for connections in CONNECTIONS:
            slow = {NAIVE: _SLOW} if connections > 1 else {}
            rows = measure(
                servers, _NAMES, connections, options.rounds, options.slice_seconds, slow
            )
            section.add(
                f"-- {connections} connections, {options.rounds} rounds of"
                f" {options.slice_seconds} s"
            )
            section.lines += table(rows)
            _judge(section, rows, connections)
        _starvation(section, servers)
    return section


def _judge(section: Section, rows: dict[str, Row], connections: int) -> None:
    if connections == 256:
        return
    ratio, least = rows[OURS].rate_ratio(), {1: 0.75, 64: 0.90}[connections]
    where = f"{connections} connection{'s' if connections > 1 else ''}"
    section.aim(f"ours over trivial at {where}", f">= {least:.2f}", f"{ratio:.2f}", ratio >= least)
    if connections == 64:
        cpu = statistics.median(rows[OURS].ratios(lambda slice_: slice_.cpu_us))
        section.aim("CPU for each answer over trivial's", "<= 1.25", f"{cpu:.2f}", cpu <= 1.25)
        figure, times = against(rows)
        section.aim("ours over the naive handler", ">= 60 times", figure, times >= 60)


def _starvation(section: Section, servers: Fleet) -> None:
    """wrk waits for every connection, so that it cannot show a connection that
    is never served.
    """
    for connections in (64, 256):
        server = servers.servers[OURS]
        counts = asyncio.run(fairness(server.port, server.path, connections, _FAIR_SECONDS))
        starved = sum(count == 0 for count in counts)
        figure = f"{starved} of {connections} (answers each: {min(counts)} to {max(counts)})"
        section.aim(f"connections of {connections} never served", "none", figure, starved == 0)


def processes(options: Options) -> Section:
    """The same with a thousand and five thousand idle processes on the machine."""
    section = Section("processes: 64 connections, with more and more idle processes on the machine")
    names = (TRIVIAL, OURS, NAIVE)
    base = 0.0
    with fleet(options.fresh("processes"), (TRIVIAL, NAIVE)) as servers:
        for wanted in (0, 1_000, 5_000):
            with sleepers(wanted) as started:
                if started < wanted:
                    section.add(
                        f"the system allows {started} of {wanted} more processes; raise `ulimit -u`,"
                        " pids.max"
                    )
                rows = measure(
                    servers,
                    names,
                    64,
                    options.rounds,
                    options.slice_seconds,
                    {NAIVE: _SLOW_IN_A_CROWD},
                )
                section.add(f"-- {started} more processes")
                section.lines += table(rows)
                base = base or rows[OURS].rate_ratio()
                _judge_crowd(section, rows, wanted if started == wanted else 0, base)
    return section


def _judge_crowd(section: Section, rows: dict[str, Row], crowd: int, base: float) -> None:
    figure, times = against(rows)
    if crowd == 1_000:
        section.aim(
            "ours over naive with 1,000 more processes", ">= 400 times", figure, times >= 400
        )
    if crowd == 5_000:
        change = rows[OURS].rate_ratio() / base - 1
        what = "ours over trivial with 5,000 more, against without"
        section.aim(
            what, "unchanged, no worse than -15 %", f"{100 * change:+.0f} %", change >= -0.15
        )
        naive = rows[NAIVE]
        figure = f"{naive.answered} answers in {naive.seconds} s"
        section.aim(
            "naive with 5,000 more",
            "a finding: it no longer answers",
            figure,
            naive.answered == 0 or None,
        )


def _alone(servers: Fleet) -> dict[str, str]:
    """The time of one poll at each server, all at once."""
    with ThreadPoolExecutor() as pool:
        waits = pool.map(
            lambda server: server.answers_after(_ALONE_SECONDS), servers.servers.values()
        )
        spans = dict(zip(servers.servers, waits, strict=True))
    never = f"not in {_ALONE_SECONDS:.0f} s"
    return {
        name: f"{span:.2f} s" if span < _ALONE_SECONDS else never for name, span in spans.items()
    }


def hung(options: Options) -> Section:
    """One check of each server hangs: our disk helper is stopped, the peers'
    file test does not return.
    """
    section = Section("hung: 64 connections, one check of each server does not return")
    place = options.fresh("hung")
    with fleet(place) as servers:
        helper = helper_of(servers.installation.processes["gateway"].pid)
        helper.suspend()
        (place / "hung").touch()
        for name in PEERS:  # Restarted, so that none answers with a result that it cached before.
            servers.restart(name)
        alone = _alone(servers)
        section.add(
            "one poll alone: " + ", ".join(f"{name} {answers}" for name, answers in alone.items())
        )
        slow = dict.fromkeys((name for name in PEERS if name != TRIVIAL), Pace(rounds=1, seconds=3))
        rows = measure(servers, _NAMES, 64, options.rounds, options.slice_seconds, slow)
        (place / "hung").unlink()
        section.lines += table(rows)
        ratio = rows[OURS].rate_ratio()
        section.aim(
            "ours over trivial with its disk hung", ">= 0.90", f"{ratio:.2f}", ratio >= 0.90
        )
        health = servers.installation.health()
        figure = f"{health['overall_status']}, {', '.join(health['reasons'])}"
        truthful = health["overall_status"] == "unknown" and not health["components"]["fs_writable"]
        section.aim("what ours says meanwhile", "unknown, filesystem", figure, truthful)
        helper.resume()
    return section
