"""A ghost in this process: the real runner on a real ledger and a real
repository, stopped once a condition holds.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt_cursor_runner.config import Check, Config, Repository, State
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.engine.embedded import EmbeddedEngine
from gpt_cursor_runner.landing import readiness
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.preparing import Stores
from gpt_cursor_runner.landing.readiness import Machine
from gpt_cursor_runner.landing.sandbox.proving import ProvenSandbox
from gpt_cursor_runner.ledger.events import Event
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.events import EventPayload
from gpt_cursor_runner.patch.faults import Fault, WorldFailed
from gpt_cursor_runner.patch.outcome import Outcome
from gpt_cursor_runner.patch.status import FINAL, Status
from gpt_cursor_runner.runner.attempt import Attempt
from gpt_cursor_runner.runner.loop import Runner
from gpt_cursor_runner.runner.repositories import Repositories
from tests.building import SEARCH_PATH, Repo, Templates, make_admission
from tests.sandboxes import LIMITS, make_sandbox

_TIMEOUT_SECONDS = 30.0
_LEDGER_ERROR_SECONDS = 0.05
_runners = itertools.count(1)


@dataclass
class Clock:
    """The clock of the ledger: the real time, plus a number of seconds."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Killed(BaseException):
    """Stands for kill -9: the runner catches no BaseException, so it cannot
    clean up after this one.
    """


@dataclass(frozen=True)
class KillingGit(Git):
    """A git with which the runner is killed instead of the command `kills_at`."""

    kills_at: str = ""

    def run(self, *arguments: str, **named: Any) -> bytes:
        if arguments[0] == self.kills_at:
            raise Killed
        return super().run(*arguments, **named)


@dataclass(frozen=True)
class LateGit(Git):
    """A git that moves a branch and then reports a timeout, as at a deadline
    that it meets after its work is done.
    """

    def run(self, *arguments: str, **named: Any) -> bytes:
        printed = super().run(*arguments, **named)
        if arguments[0] == "update-ref" and any(
            word.startswith("refs/heads/") for word in arguments
        ):
            raise WorldFailed("git_timed_out", "git update-ref took too long")
        return printed


@dataclass
class Ghost:
    """`work_until` runs the loop in this thread; `send` puts a patch into the
    ledger.
    """

    place: Path
    repo: Repo
    ledger: Ledger
    clock: Clock
    repository: Repository
    search_path: str = SEARCH_PATH

    @property
    def state(self) -> State:
        return State(dir=self.place / "state")

    def send(self, **members: Any) -> str:
        admission = make_admission(at=self.clock(), **members)
        self.ledger.intake.accept([admission])
        return admission.patch.id

    def work_until(self, is_done: Callable[[], bool], settings: Settings | None = None) -> None:
        """Let a runner work until the condition holds; fail at the timeout."""
        give_up_at = time.monotonic() + _TIMEOUT_SECONDS
        self.runner(lambda: is_done() or time.monotonic() > give_up_at, settings).run()
        assert is_done(), [patch.to_json() for patch in self.ledger.queries.page()]

    def runner(
        self,
        should_stop: Callable[[], bool],
        settings: Settings | None = None,
        obstacles: Callable[[Repository], list[Fault]] | None = None,
    ) -> Runner:
        runner_id = f"ghost-{next(_runners)}"
        return Runner(
            runner_id=runner_id,
            settings=settings or self.settings,
            open_repositories=self.open_repositories,
            ledger=self.ledger,
            engine=EmbeddedEngine(self.ledger, runner_id),
            obstacles=obstacles or self.obstacles,
            ledger_error_seconds=_LEDGER_ERROR_SECONDS,
            should_stop=should_stop,
        )

    def obstacles(self, repository: Repository) -> list[Fault]:
        return readiness.obstacles(repository, self.machine)

    @property
    def machine(self) -> Machine:
        proven = ProvenSandbox(self.search_path, LIMITS, self.state.trials_dir)
        return Machine(self.search_path, self.state.dir, proven.proof)

    @property
    def settings(self) -> Settings:
        config = Config(state=self.state)
        return Settings(config.model_copy(update={"repository": (self.repository,)}))

    def open_repositories(self, config: Config) -> Repositories:
        configured = {repository.name: repository for repository in config.repository}
        return Repositories(configured, self.search_path, self.machine.proof)

    def finish(self, *patch_ids: str) -> StoredPatch:
        """Work until these patches ended, or are held, and are reported; return
        the last of them.
        """
        self.work_until(lambda: all(self.is_settled(patch_id) for patch_id in patch_ids))
        return self.get(patch_ids[-1])

    def is_settled(self, patch_id: str) -> bool:
        stored = self.get(patch_id)
        ended = stored.status in FINAL or stored.status is Status.HELD
        return ended and stored.reported_at is not None

    def get(self, patch_id: str) -> StoredPatch:
        return self.ledger.queries.get(patch_id)

    def evidence(self, patch_id: str) -> Evidence:
        return Evidence(self.state.patches_dir / patch_id)

    def report(self, patch_id: str) -> str:
        return (self.evidence(patch_id).report() or b"").decode()

    def kinds(self, patch_id: str) -> list[str]:
        return [event.kind for event in self.ledger.queries.events(patch_id)]

    def events(self, patch_id: str, kind: str) -> list[Event]:
        events = self.ledger.queries.events(patch_id)
        return [event for event in events if event.kind == kind]

    def sealed_refs(self) -> list[str]:
        return self.repo.run("for-each-ref", "refs/gcr").splitlines()

    def attempt(
        self, git: Git | None = None, record: Callable[[EventPayload], None] | None = None
    ) -> Outcome:
        """Claim and attempt one patch without the loop around it, so that an
        exception leaves what a killed runner leaves.
        """
        claim = self.ledger.leases.claim("doomed", self.clock())
        assert claim is not None

        def write(payload: EventPayload) -> None:
            self.ledger.leases.record(claim, payload, self.clock())
            if record is not None:
                record(payload)

        return Attempt(
            claim=claim,
            repository=self.repository,
            profile="profile",
            git=git or self.repo.git,
            sandbox=lambda: make_sandbox(self.repository.sandbox, SEARCH_PATH),
            stores=Stores.of(self.state, self.repository),
            evidence=self.evidence(claim.id),
            workspace=self.state.workspaces_dir / str(claim.token),
            history=self.ledger.queries.events(claim.id),
            record=write,
            tick=lambda: None,
        ).run()


@contextmanager
def a_ghost(place: Path, templates: Templates, **repository: Any) -> Iterator[Ghost]:
    """A ghost for a fresh repository; `repository` are members of its
    [[repository]] section.
    """
    repo = templates.repo(place / "app")
    clock = Clock()
    ledger = templates.ledger(place / "state")
    ledger.clock = clock
    members: dict[str, Any] = {"name": "app", "path": repo.path, "sandbox": "none", **repository}
    yield Ghost(place, repo, ledger, clock, Repository(**members))
    ledger.close()


def check_of_patches(script: str, name: str = "tests", timeout_seconds: float = 30) -> Check:
    """A check that passes on the branch and runs `script` on a patched tree."""
    script = f"if [ -e notes ] || ! grep -qs '\"hi\"' greeting.py; then {script}; fi"
    return shell_check(script, name, timeout_seconds)


def shell_check(script: str, name: str = "tests", timeout_seconds: float = 30) -> Check:
    return Check(name=name, command=("sh", "-c", script), timeout_seconds=timeout_seconds)
