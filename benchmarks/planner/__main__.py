"""`make bench-planner`: for every case the median time of five plans and the
peak memory of the first one.

Each case runs in a process of its own. Memory is what the process grew by at
most while it planned, beside the file and the patch, as a multiple of the two.
Beside it, `git apply --check` on the same file, where it knows the format.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.planner.cases import CASES, PATH, Case, Load
from benchmarks.planner.measuring import Figures

MOST_MEMORY = 10.0
_PATIENCE_SECONDS = 120
_MEASURE = "from benchmarks.planner.measuring import main; main()"


def main(words: list[str]) -> int:
    """With words, only cases whose name contains one of them."""
    print(
        f"{'case':42}{'ms':>9}{'aim':>8}{'memory':>9}{'aim':>5}  {'':4}{'git apply':>12}  outcome"
    )
    missed = 0
    for case in CASES:
        if not words or any(word in case.name for word in words):
            missed += not _measure(case)
    print(f"{missed} missed")
    return int(missed > 0)


def _measure(case: Case) -> bool:
    load = case.build()
    with tempfile.TemporaryDirectory(prefix="gcr-bench-") as place:
        ours = _ours(load, Path(place))
        git = _git_apply(load, Path(place))
    ended = ours.outcome.split(" ")[0] == case.wanted
    met = ours.seconds <= case.seconds and ours.memory <= MOST_MEMORY and ended
    figures = (
        f"{ours.seconds * 1000:9.0f}{case.seconds * 1000:8.0f}{ours.memory:8.1f}x{MOST_MEMORY:5.0f}"
    )
    remark = "" if ended else f" (wanted: {case.wanted})"
    print(
        f"{case.name:42}{figures}  {'PASS' if met else 'MISS'}  {git:>12}  {ours.outcome}{remark}",
        flush=True,
    )
    return met


def _ours(load: Load, place: Path) -> Figures:
    (place / "load").write_bytes(pickle.dumps(load))
    command = [sys.executable, "-c", _MEASURE, str(place / "load")]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        return Figures(float("inf"), 0.0, f"not-done in {_PATIENCE_SECONDS} s")
    if done.returncode:
        return Figures(
            float("inf"), 0.0, "crashed: " + done.stderr.decode().strip().splitlines()[-1]
        )
    return Figures(**json.loads(done.stdout))


def _git_apply(load: Load, place: Path) -> str:
    """Milliseconds of `git apply --check`, or its refusal; the time holds the
    start of a process.
    """
    if load.change["type"] != "unified_diff":
        return "-"
    (place / PATH).parent.mkdir(parents=True)
    (place / PATH).write_bytes(load.data)
    began = time.perf_counter()
    try:
        command = ["git", "apply", "--check"]
        text = load.change["text"].encode()
        done = subprocess.run(
            command, cwd=place, input=text, capture_output=True, check=False, timeout=60
        )
    except subprocess.TimeoutExpired:
        return "over 60 s"
    return f"{(time.perf_counter() - began) * 1000:.0f}" if done.returncode == 0 else "refuses"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
