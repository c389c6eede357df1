"""The time to plan and seal three files, in small and large repositories. Aim: it
depends on the files touched, not on the size of the repository.

The control does the same in a work tree: `git worktree add`, write, `git commit`,
in the same repository and run.
"""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.planning import plan_at
from gpt_cursor_runner.landing.sealing import seal
from gpt_cursor_runner.patch.model import Patch

SIZES = (500, 5_000, 50_000)
ROUNDS = 9
CONTROL_ROUNDS = 1  # it takes most of a minute in the largest repository
PATCH = Patch.model_validate_json(
    """{"id": "bench", "title": "t", "changes": [
    {"type": "upsert", "path": "d0/f0.txt", "contents": "one"},
    {"type": "upsert", "path": "d7/new.txt", "contents": "two"},
    {"type": "delete", "path": "d3/f3.txt"}]}"""
)


def main() -> None:
    print("files    plan + seal ms   worktree + commit ms   ratio   (median of 9; control once)")
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="gcr-bench-") as place:
            path = make_repository(Path(place) / "repo", size)
            git = Git.at(path, os.environ["PATH"])
            ours = timed(functools.partial(plan_and_seal, git), ROUNDS)
            control = timed(functools.partial(worktree_and_commit, path), CONTROL_ROUNDS)
            print(f"{size:6}   {ours:14.1f}   {control:20.1f}   {control / ours:5.1f}")


def plan_and_seal(git: Git) -> None:
    base = git.tip("main")
    plan = plan_at(
        git, base, lambda tree: make_plan(tuple(enumerate(PATCH.changes)), tree, PATCH.tolerance)
    )
    seal(git, plan, PATCH.id, base, 1_700_000_000)


def worktree_and_commit(path: Path) -> None:
    run(path, "worktree", "add", "--quiet", "--detach", "../tree", "main")
    tree = path.parent / "tree"
    (tree / "d0/f0.txt").write_text("one")
    (tree / "d7/new.txt").write_text("two")
    (tree / "d3/f3.txt").unlink()
    run(tree, "add", "--all")
    run(tree, "commit", "--quiet", "-m", "x")
    run(path, "worktree", "remove", "--force", "../tree")


def make_repository(path: Path, size: int) -> Path:
    path.mkdir()
    run(path, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    files = [f"M 644 inline d{n % 100}/f{n}.txt\ndata 9\n{n:08}\n" for n in range(size)]
    head = "commit refs/heads/main\ncommitter b <b@b> 1 +0000\ndata 1\nx\n"
    run(path, "fast-import", "--quiet", data="".join([head, *files]).encode())
    return path


def run(place: Path, *arguments: str, data: bytes = b"") -> None:
    identity = {
        f"GIT_{role}_{part}": "b@b"
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }
    subprocess.run(
        ["git", *arguments], cwd=place, input=data, env={**os.environ, **identity}, check=True
    )


def timed(work: Callable[[], None], rounds: int) -> float:
    spans = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        spans.append((time.perf_counter() - began) * 1000)
    return statistics.median(spans)


if __name__ == "__main__":
    main()
