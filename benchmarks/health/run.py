"""The benchmark of `/health`: prints the measurements beside their aims."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.health import detection, footprint, throughput, under_load, wrk
from benchmarks.health.options import Options
from benchmarks.health.report import Section

SECTIONS: Mapping[str, Callable[[Options], Section]] = {
    "ratios": throughput.ratios,
    "processes": throughput.processes,
    "hung": throughput.hung,
    "open-loop": under_load.open_loop,
    "saturated": under_load.saturated,
    "locked": under_load.locked,
    "slow": under_load.slow,
    "monitor": footprint.monitor,
    "memory": footprint.memory,
    "detection": detection.detection,
    "calm": detection.calm,
}


def main() -> None:
    arguments = _arguments()
    wrk.require()
    began = time.monotonic()
    done: list[Section] = []
    with tempfile.TemporaryDirectory(prefix="gcr-bench-") as place:
        options = Options(
            Path(place),
            arguments.rounds,
            arguments.slice,
            polls=arguments.polls,
            calm_minutes=arguments.calm_minutes,
        )
        print(
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.rounds} rounds",
            flush=True,
        )
        for name in arguments.only or SECTIONS:
            done.append(SECTIONS[name](options))
            print(done[-1], flush=True)
    aims = [aim for section in done for aim in section.aims]
    missed = [aim for aim in aims if aim.met is False]
    print(f"{len(aims)} aims, {len(missed)} missed, in {time.monotonic() - began:.0f} s")
    for aim in missed:
        print(f"  {aim}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS)
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slice", type=int, default=1, help="seconds of one slice of load")
    parser.add_argument("--polls", type=int, default=Options.polls, help="of the memory run")
    parser.add_argument(
        "--calm-minutes",
        type=float,
        default=Options.calm_minutes,
        help="of normal load; the full length is 60",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
