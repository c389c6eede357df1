"""The time to prepare the workspace of a one-line patch, in small and large
repositories. Aim: 300 ms, warm, at 50,000 files.

Cold is the first patch of a branch, which writes every file; warm is each patch
after it. Both end with a command that reads the changed file in the sandbox. The
controls give the same files in the same repository and run, without a sandbox:
`git worktree add`, and `git archive` into tar.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.seal import make_repository, run
from gpt_cursor_runner.config import Check, Config, Repository, SandboxLimits, State
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.preparing import Preparation, Stores
from gpt_cursor_runner.landing.sandbox.choosing import prove_sandbox, sandbox_for

SIZES = (1_000, 20_000, 50_000, 200_000)
WARM_ROUNDS = 9
# Each of them writes the whole tree.
CONTROL_ROUNDS = 1
READ = Check(name="read", command=("cat", "d0/f0.txt"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("sizes", nargs="*", type=int, default=SIZES)
    sizes = options.parse_args().sizes
    print("milliseconds; warm: median and maximum of 9; the controls once")
    print("  files      cold   warm   max   worktree add   archive | tar   worktree/warm")
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="gcr-bench-") as place:
            print(measure(Path(place), size))


def measure(place: Path, size: int) -> str:
    path = make_repository(place / "repo", size)
    preparation = prepare(place, path)
    trees = commit_changes(path, WARM_ROUNDS + 1)
    cold = milliseconds(lambda: check(preparation, *trees[0]))
    warm = [milliseconds(lambda at=at: check(preparation, *at)) for at in trees[1:]]  # type: ignore[misc]
    worktree = milliseconds(
        lambda: run(path, "worktree", "add", "--quiet", "--detach", "../tree", "main")
    )
    archive = milliseconds(lambda: archive_into_tar(path, place / "archive"))
    median = statistics.median(warm)
    return (
        f"{size:7}  {cold:8.0f}  {median:5.0f}  {max(warm):4.0f}  {worktree:13.0f}"
        f"  {archive:14.0f}  {worktree / median:14.1f}"
    )


def prepare(place: Path, path: Path) -> Preparation:
    config = Config(state=State(dir=place / "state"))
    repository = Repository(name="bench", path=path, checks=(READ,))
    config.state.trials_dir.mkdir(parents=True)
    search_path = os.environ["PATH"]
    limits = SandboxLimits(user="nobody") if os.geteuid() == 0 else SandboxLimits()
    proof = prove_sandbox(search_path, limits, config.state.trials_dir)
    return Preparation(
        repository=repository,
        git=Git.at(path, search_path),
        sandbox=sandbox_for(repository, proof, search_path, [path]),
        stores=Stores.of(config.state, repository),
        workspace=place / "state" / "workspaces" / "1",
        tick=lambda: None,
    )


def commit_changes(path: Path, count: int) -> list[tuple[str, str]]:
    """Commits that each change one line; the tree and id of each."""
    trees = []
    for number in range(count):
        text = f"change {number}\n"
        commit = (
            "commit refs/heads/main\ncommitter b <b@b> 1 +0000\ndata 1\nx\n"
            f"from refs/heads/main^0\nM 644 inline d0/f0.txt\ndata {len(text)}\n{text}"
        )
        run(path, "fast-import", "--quiet", data=commit.encode())
        trees.append((output(path, "main^{tree}"), output(path, "main")))
    return trees


def output(path: Path, revision: str) -> str:
    command = ["git", "-C", str(path), "rev-parse", revision]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def check(preparation: Preparation, tree: str, commit: str) -> None:
    with preparation.open(tree, commit) as ready:
        result = ready.run(READ, ready.workspace.directory / "log")
    if result.status != "passed":
        raise SystemExit(f"the check did not pass: {result.tail}")


def archive_into_tar(path: Path, place: Path) -> None:
    place.mkdir()
    with subprocess.Popen(
        ["git", "-C", str(path), "archive", "main"], stdout=subprocess.PIPE
    ) as archive:
        subprocess.run(["tar", "-x", "-C", str(place)], stdin=archive.stdout, check=True)
    shutil.rmtree(place)


def milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
