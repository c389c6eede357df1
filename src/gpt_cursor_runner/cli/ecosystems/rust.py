"""Rust packages and workspaces."""

from __future__ import annotations

import re

from gpt_cursor_runner.cli.ecosystems.project import SETUP_SECONDS, Project, Proposal
from gpt_cursor_runner.config import Check, Setup

NAME = "Rust"
_MANIFEST = "Cargo.toml"
_DEPENDENCIES = re.compile(r"^\[.*dependencies\b.*\]", re.MULTILINE)
_HOME = 'export CARGO_HOME="$PWD/.cargo-home"'
# Cargo compares times: a source that is older than the kept build would count as
# built, although that build may be of another patch. So every crate of the
# tree is built again, and only what it depends on is kept.
_TOUCH = (
    "find . -path ./target -prune -o -path ./.cargo-home -prune -o -name '*.rs' -exec touch '{}' +"
)


def proposals(project: Project) -> list[Proposal]:
    if not project.has(_MANIFEST):
        return []
    manifests = project.named(_MANIFEST)
    whole = ""
    if any(re.search(r"^\[workspace\b", project.read(path), re.MULTILINE) for path in manifests):
        whole = " --workspace"
    test = f"cargo test --offline{whole}"
    if not any(_DEPENDENCIES.search(project.read(path)) for path in manifests):
        check = Check(name="tests", command=tuple(test.split()))
        return [Proposal(NAME, "cargo test", (), (check,))]
    steps = [
        _HOME,
        "mkdir -p .cargo-home",
        "cargo fetch",
        f"cargo test --no-run --offline{whole}",
    ]
    setup = Setup(
        command=("sh", "-c", " && ".join(steps)),
        keyed_by=project.present([_MANIFEST, "Cargo.lock", "rust-toolchain.toml", *manifests]),
        provides=(".cargo-home", "target"),
        timeout_seconds=SETUP_SECONDS,
        network="host",
    )
    check = Check(name="tests", command=("sh", "-c", f"{_HOME} && {_TOUCH} && {test}"))
    return [Proposal(NAME, "cargo test, after cargo fetch", (setup,), (check,))]
