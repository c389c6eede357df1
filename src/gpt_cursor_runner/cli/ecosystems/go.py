"""Go modules."""

from __future__ import annotations

import re

from gpt_cursor_runner.cli.ecosystems.project import SETUP_SECONDS, Project, Proposal
from gpt_cursor_runner.config import Check, Network, Setup

NAME = "Go"
_REQUIRES = re.compile(r"^require\b", re.MULTILINE)
# Its name hides the directory from `./...`. Go names what it builds by content,
# so that a kept build is never that of another patch.
_CACHES = 'export GOMODCACHE="$PWD/.go/mod" GOCACHE="$PWD/.go/build"'
# `true` in place of each test: they are compiled and not run.
_COMPILE = "go test -exec true ./..."
_TEST = "go test -count=1 ./..."


def proposals(project: Project) -> list[Proposal]:
    module = project.read("go.mod")
    if not module:
        return []
    steps = [_CACHES, "mkdir -p .go/mod"]
    network: Network = "loopback"
    if _REQUIRES.search(module) and not project.has("vendor/modules.txt"):
        network = "host"
        steps.append("go mod download")
    setup = Setup(
        command=("sh", "-c", " && ".join([*steps, _COMPILE])),
        environment={"GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw"},
        keyed_by=project.present(["go.mod", "go.sum", "vendor/modules.txt"]),
        provides=(".go",),
        timeout_seconds=SETUP_SECONDS,
        network=network,
    )
    check = Check(
        name="tests",
        command=("sh", "-c", f"{_CACHES} && {_TEST}"),
        environment={"GOTOOLCHAIN": "local", "GOPROXY": "off"},
    )
    return [Proposal(NAME, "go test", (setup,), (check,))]
