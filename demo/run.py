"""The main job on real input, from nothing to a landed patch: what `make demo`
runs.

Real processes, real HTTP, a real repository. Everything happens in a temporary
directory, which is removed at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GCR = [sys.executable, "-m", "gpt_cursor_runner"]
# The user's own settings must not influence the demo.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("GCR_", "GIT_"))
}
ENVIRONMENT |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
for role in ("AUTHOR", "COMMITTER"):
    ENVIRONMENT |= {f"GIT_{role}_NAME": "Demo Owner", f"GIT_{role}_EMAIL": "owner@example.org"}


class StepFailed(Exception):
    """A step of the demo failed; the message gives the step and the result."""


def main() -> int:
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="gcr-demo-") as place:
            run(Path(place))
    except StepFailed as failed:
        print(f"\nDEMO FAILED: {failed}")
        return 1
    print(
        f"\nDone in {time.monotonic() - began:.1f} s: the patch landed, checked, tagged and"
        " reported."
    )
    return 0


def run(place: Path) -> None:
    say("a sample repository with a small Python package and its tests")
    repository = make_repository(place / "sample")
    port = free_port()
    say(f"gcr init (port {port}: the demo takes a free one, to avoid a gateway of yours)")
    key = init(repository, place, port)
    url = f"http://127.0.0.1:{port}"
    with gateway_and_runner(repository, place, url):
        say("gateway and runner are up, and healthy")
        patch = json.loads((HERE / "patch.json").read_bytes())
        accepted = call(url + "/webhook", key, (HERE / "patch.json").read_bytes())
        say(f"POST /webhook answered 202: {json.dumps(accepted)}")
        ended = follow(url + accepted["status_url"], key)
        show_result(url, key, repository, patch["id"], ended)


def make_repository(path: Path) -> Path:
    shutil.copytree(HERE / "sample", path, ignore=shutil.ignore_patterns("__pycache__"))
    command("git", "init", "--quiet", "--initial-branch=main", cwd=path)
    command("git", "add", "--all", cwd=path)
    command("git", "commit", "--quiet", "-m", "A sample service", cwd=path)
    return path


def init(repository: Path, place: Path, port: int) -> str:
    check = f"tests={sys.executable} -m unittest -q"
    answer = command(
        *GCR,
        "init",
        "--json",
        "--port",
        str(port),
        "--state",
        str(place / "state"),
        "--check",
        check,
        "--sandbox",
        "best",
        cwd=repository,
    )
    return str(json.loads(answer)["key"])


@contextmanager
def gateway_and_runner(repository: Path, place: Path, url: str) -> Iterator[None]:
    with (place / "up.log").open("w+") as log:
        up = subprocess.Popen(
            [*GCR, "up"], cwd=repository, env=ENVIRONMENT, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            health = wait_until_up(url)
            if not is_well(health):
                log.seek(0)
                raise StepFailed(f"not healthy within 30 s: {health}\n{log.read()}{logs(place)}")
            yield
        finally:
            up.send_signal(signal.SIGTERM)
            ended = up.wait(30)
    if ended != 0:
        raise StepFailed(f"gcr up ended with exit code {ended}")
    say("gateway and runner have stopped")


def wait_until_up(url: str) -> dict[str, Any]:
    """The last answer about health, once it is well or 30 seconds have passed."""
    health: dict[str, Any] = {}
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not is_well(health):
        time.sleep(0.2)
        # Nothing listens yet, or a component is not ready.
        with suppress(StepFailed, OSError):
            health = call(url + "/health", None)
    return health


def is_well(health: Mapping[str, Any]) -> bool:
    """Healthy; or degraded because no sandbox works on this machine, which
    `--sandbox best` allows.
    """
    if health.get("overall_status") == "healthy":
        return True
    return bool(health.get("reasons") == ["sandbox.weaker"])


def follow(url: str, key: str) -> dict[str, Any]:
    for _ in range(6):
        stored = call(f"{url}?wait=20", key)
        if stored["status"] not in ("queued", "running"):
            return stored
    raise StepFailed(f"the patch did not end: {stored}")


def show_result(
    url: str, key: str, repository: Path, patch_id: str, ended: Mapping[str, Any]
) -> None:
    if ended["status"] != "landed":
        raise StepFailed(
            f"the patch ended {ended['status']}: {json.dumps(ended['outcome'], indent=2)}"
        )
    say("GET …/report: the completion report")
    print(report(f"{url}/v1/patches/{patch_id}/report", key))
    say("git log --stat -1")
    print(command("git", "log", "--stat", "-1", cwd=repository))
    say("the tag")
    tag = command("git", "tag", "--points-at", "HEAD", cwd=repository)
    print(tag)
    if tag != patch_id:
        raise StepFailed(
            f"the landed commit should carry the tag {patch_id}, and carries {tag or 'none'}"
        )
    say("git status: the owner's checkout has followed, and is clean")
    dirt = command("git", "status", "--short", cwd=repository)
    if dirt:
        raise StepFailed(f"the checkout is not clean:\n{dirt}")
    say("GET /health")
    health = call(url + "/health", None)
    print(json.dumps(health, indent=2))
    if not is_well(health):
        raise StepFailed(f"health is {health['overall_status']}")


def report(url: str, key: str) -> str:
    for _ in range(50):  # the report follows the landing by some milliseconds
        try:
            return request(url, key, None)[1].decode()
        except urllib.error.HTTPError as not_yet:
            if not_yet.code != 404:
                raise StepFailed(f"the report answered {not_yet.code}") from not_yet
            time.sleep(0.1)
    raise StepFailed("there is no report")


def call(url: str, key: str | None, body: bytes | None = None) -> dict[str, Any]:
    try:
        status, text = request(url, key, body)
    except urllib.error.HTTPError as refused:
        raise StepFailed(f"{url} answered {refused.code}: {refused.read().decode()}") from refused
    if body is not None and status != 202:
        raise StepFailed(f"{url} answered {status} and not 202: {text.decode()}")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def request(url: str, key: str | None, body: bytes | None) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body, headers), timeout=40) as answer:
        return answer.status, answer.read()


def command(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        words, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise StepFailed(
            f"{' '.join(words)} ended with exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout.strip()


def logs(place: Path) -> str:
    text = ""
    for log in sorted((place / "state/logs").glob("*.log")):
        text += f"\n== {log.name}\n{log.read_text()[-3000:]}"
    return text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def say(step: str) -> None:
    print(f"\n=== {step}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
