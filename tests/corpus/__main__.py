"""`make corpus` runs every case in a real repository and prints the table of
results.
"""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.corpus.cases import PLACE, Case, read_corpus
from tests.corpus.judging import ProbeResult
from tests.corpus.running import judged_in_git
from tests.corpus.table import aims, report


def main(words: list[str]) -> int:
    """With words, only cases whose name contains one of them."""
    cases = [
        case for case in read_corpus() if not words or any(word in case.name for word in words)
    ]
    if not cases:
        print(f"There is no corpus at {PLACE}; GCR_CORPUS names another place.")
        return 2
    with ProcessPoolExecutor(os.cpu_count()) as workers:
        judged = list(workers.map(run, cases, chunksize=8))
    print(report(judged))
    return int(not all(met for _, met in aims(judged)))


def run(case: Case) -> ProbeResult:
    with tempfile.TemporaryDirectory(prefix="gcr-corpus-") as place:
        return judged_in_git(case, Path(place))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
