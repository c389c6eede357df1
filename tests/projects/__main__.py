"""`make try-projects` sets real projects up with `gcr init` alone, sends each a
broken patch and ten small ones, and prints a table.

With words, only projects whose name contains one of them; `--repository DIR
PATH OLD NEW` takes a repository of this machine and the patch that breaks it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.projects.catalogue import PROJECTS, download
from tests.projects.changes import Work
from tests.running import free_port

_GCR = (sys.executable, "-m", "gpt_cursor_runner")
_INIT_SECONDS = 3600
_PATCH_SECONDS = 3600
_HEADINGS = ("project", "init", "tries", "left out", "broken patch", "landed", "same tree", "all")


@dataclass
class Result:
    name: str
    init_seconds: float = 0.0
    tries: int = 0
    check: str = ""
    left_out: int = 0
    broken: str = ""
    landed: int = 0
    identical: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return (self.broken, self.landed, self.identical) == ("check_failed", 10, 10)

    def cells(self) -> list[str]:
        return [
            self.name,
            f"{self.init_seconds:.0f} s",
            str(self.tries),
            str(self.left_out),
            self.broken,
            f"{self.landed}/10",
            f"{self.identical}/10",
            f"{self.seconds:.0f} s",
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--repository", nargs=4, metavar=("DIR", "PATH", "OLD", "NEW"))
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="gcr-projects-") as directory:
        place = Path(directory)
        # Commands in the sandbox run as another user.
        place.chmod(0o755)
        if options.repository:
            source, *broken = options.repository
            name = Path(source).name
            results.append(run(name, Path(source), tuple(broken), place / name))
        else:
            for project in PROJECTS:
                if not options.names or any(word in project.name for word in options.names):
                    print(f"{project.name}: downloading", flush=True)
                    source = download(project, place / "sources" / project.name)
                    results.append(run(project.name, source, project.broken, place / project.name))
    print()
    print(table(results))
    return int(not all(result.is_good for result in results))


def run(name: str, source: Path, broken: tuple[str, ...], place: Path) -> Result:
    began = time.monotonic()
    result = Result(name)
    repository = make_repository(source, place / "repository")
    print(f"{name}: gcr init", flush=True)
    answer = init(repository, place)
    result.init_seconds = time.monotonic() - began
    result.tries = len(answer["tried"])
    if not answer["worked"]:
        result.faults.append(f"init found no check that works: {answer['tried']}")
        return result
    worked = answer["tried"][-1]
    result.left_out = len(worked["left_out"])
    result.check = f"{worked['ecosystem']} {worked['title']}: {worked['checks']}"
    with serving(place, answer["url"], answer["key"]) as gateway:
        path, old, new = broken
        change = {"type": "str_replace", "path": path, "old": old, "new": new}
        ended = gateway.send("broken", change)
        result.broken = ended["status"]
        if ended["status"] == "rejected":
            result.broken = ended["outcome"]["errors"][0]["code"]
        send_changes(gateway, repository, place, result)
    result.seconds = time.monotonic() - began
    return result


def send_changes(gateway: Gateway, repository: Path, place: Path, result: Result) -> None:
    clone = place / "by-hand"
    git("clone", "--quiet", str(repository), str(clone), cwd=place)
    work = Work(clone)
    for number, change in enumerate(work.changes(), 1):
        ended = gateway.send(f"small-{number}", change)
        if ended["status"] == "landed":
            result.landed += 1
        else:
            result.faults.append(f"{number} {change['type']}: {ended['outcome']}")
        by_hand = work.commit()
        landed = git("rev-parse", "main^{tree}", cwd=repository)
        result.identical += landed == by_hand
        print(f"{result.name}: {number} {change['type']} {ended['status']}", flush=True)


@dataclass(frozen=True)
class Gateway:
    url: str
    key: str

    def send(self, patch_id: str, change: dict[str, Any]) -> dict[str, Any]:
        """Send a patch of one change; return it when it has ended."""
        body = json.dumps({"id": patch_id, "title": patch_id, "changes": [change]}).encode()
        accepted = self._call("/webhook", body)
        deadline = time.monotonic() + _PATCH_SECONDS
        while time.monotonic() < deadline:
            stored = self._call(f"{accepted['status_url']}?wait=20")
            if stored["status"] not in ("queued", "running"):
                return stored
        raise TimeoutError(patch_id)

    def _call(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(self.url + path, body, headers)  # noqa: S310  the gateway's
        with opener.open(request, timeout=60) as answer:
            stored: dict[str, Any] = json.load(answer)
            return stored


def make_repository(source: Path, repository: Path) -> Path:
    shutil.copytree(source, repository, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    git("init", "--quiet", "--initial-branch=main", cwd=repository)
    git("add", "--all", "--force", cwd=repository)
    git("commit", "--quiet", "--message", "Import", cwd=repository)
    return repository


def init(repository: Path, place: Path) -> dict[str, Any]:
    """`gcr init` as a user types it, beside the repository."""
    options = ["--repository", str(repository), "--state", str(place / "state")]
    done = subprocess.run(
        [*_GCR, "init", "--json", *options, "--port", str(free_port())],
        cwd=place,
        check=True,
        stdout=subprocess.PIPE,
        timeout=_INIT_SECONDS,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@contextmanager
def serving(place: Path, url: str, key: str) -> Iterator[Gateway]:
    with (place / "up.log").open("wb") as log:
        up = subprocess.Popen([*_GCR, "up"], cwd=place, stdout=log, stderr=log)
        try:
            wait = [*_GCR, "health", "--wait", "60", "--quiet"]
            subprocess.run(wait, cwd=place, check=True)
            yield Gateway(url, key)
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)


def git(*arguments: str, cwd: Path) -> str:
    names = ["-c", "user.name=Owner", "-c", "user.email=owner@example.org"]
    done = subprocess.run(
        ["git", *names, *arguments],
        cwd=cwd,
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull},
    )
    return done.stdout.decode().strip()


def table(results: list[Result]) -> str:
    lines = [f"| {' | '.join(_HEADINGS)} |", "|---" * len(_HEADINGS) + "|"]
    for result in results:
        lines.append(f"| {' | '.join(result.cells())} |")
    lines.append("")
    for result in results:
        lines.append(f"{result.name}: {result.check}")
        lines += [f"  {fault}" for fault in result.faults]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
