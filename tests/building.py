"""Builders with a default for everything."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.ledger.database import LEDGER_NAME, migrate, open_database
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import AdmittedPatch, Delivery
from gpt_cursor_runner.patch.model import Patch
from gpt_cursor_runner.patch.outcome import Outcome, read_outcome
from gpt_cursor_runner.patch.status import Status

SEARCH_PATH = os.environ["PATH"]
FIRST_FILES = {"greeting.py": 'def greet():\n    return "hi"\n', "README.md": "# App\n"}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Repo:
    """A real repository with a checkout, used as its owner would use it."""

    path: Path

    @classmethod
    def create(cls, path: Path, files: Mapping[str, str] | None = None) -> Repo:
        path.mkdir(parents=True)
        made = cls(path)
        made.run("init", "--quiet", "--initial-branch=main")
        if files is None:
            files = FIRST_FILES
        made.commit(files, "First")
        return made

    def run(self, *arguments: str, data: bytes | None = None) -> str:
        owner = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "PATH": SEARCH_PATH}
        for role in ("AUTHOR", "COMMITTER"):
            owner |= {f"GIT_{role}_NAME": "Owner", f"GIT_{role}_EMAIL": "owner@example.org"}
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            input=data,
            capture_output=True,
            env=owner,
            check=True,
        )
        return done.stdout.decode(errors="surrogateescape").rstrip("\n")

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            target.write_bytes(data)

    def commit(self, files: Mapping[str, str | bytes], message: str = "Change") -> str:
        self.write(files)
        self.run("add", "--all")
        self.run("commit", "--quiet", "--allow-empty", "-m", message)
        return self.tip()

    def tip(self, revision: str = "main") -> str:
        return self.run("rev-parse", revision)

    def show(self, path: str, revision: str = "main") -> str:
        return self.run("cat-file", "-p", f"{revision}:{path}")

    def state(self) -> dict[str, bytes]:
        """Every byte that an owner could lose: refs, index and work tree,
        without objects.
        """
        return {
            str(file.relative_to(self.path)): file.read_bytes()
            for file in sorted(self.path.rglob("*"))
            if file.is_file()
            and not file.is_symlink()
            and "objects" not in file.relative_to(self.path).parts
        }

    @property
    def git(self) -> Git:
        return Git.at(self.path, SEARCH_PATH)


def make_ledger(directory: Path, busy_seconds: float = 5.0) -> Ledger:
    directory.mkdir(parents=True, exist_ok=True)
    database = open_database(directory, busy_seconds)
    migrate(database)
    return Ledger(database)


@dataclass(frozen=True)
class Templates:
    """A repository and a ledger to copy. Copying takes a fifth of the time of
    making them, when git starts four processes and Alembic runs every
    migration.
    """

    directory: Path

    @classmethod
    def make(cls, directory: Path) -> Templates:
        Repo.create(directory / "app")
        # Closing the last connection checkpoints the WAL and removes it, so
        # that the file is complete.
        make_ledger(directory / "state").close()
        return cls(directory)

    def repo(self, path: Path) -> Repo:
        """A repository with FIRST_FILES, as `Repo.create` makes it."""
        shutil.copytree(self.directory / "app", path, symlinks=True)
        copied = Repo(path)
        # The index holds inodes and times of the original files.
        copied.run("update-index", "--refresh")
        return copied

    def ledger(self, directory: Path) -> Ledger:
        """An empty ledger, as `make_ledger` makes it."""
        directory.mkdir(parents=True)
        shutil.copy(self.directory / "state" / LEDGER_NAME, directory)
        return Ledger(open_database(directory, busy_seconds=5.0))


def patch_body(**members: Any) -> dict[str, Any]:
    """A patch as a sender writes it; without changes it adds one file named
    after its id.
    """
    number = next(_numbers)
    body: dict[str, Any] = {"id": f"patch-{number}", "title": f"Change number {number}"} | members
    name = str(body["id"]).replace("/", "_")
    body.setdefault(
        "changes", [{"type": "upsert", "path": f"notes/{name}.txt", "contents": f"{name}\n"}]
    )
    return body


def make_patch(**members: Any) -> Patch:
    return Patch.model_validate(patch_body(**members), strict=False)


def make_admission(
    repository: str = "app",
    branch: str = "main",
    at: float | None = None,
    submitted_by: str = "a test",
    **members: Any,
) -> AdmittedPatch:
    patch = make_patch(**members)
    now = time.time() if at is None else at
    delivery = Delivery(f"request-{next(_numbers)}", now, submitted_by, "application/json", b"{}")
    return AdmittedPatch(patch, repository, branch, delivery)


def an_outcome(status: Status) -> Outcome:
    """An outcome that leaves a patch in this status."""
    return read_outcome(status, {"code": "some_code"})
