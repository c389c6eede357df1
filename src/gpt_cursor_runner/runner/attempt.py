"""One patch, once: planned, sealed, checked, landed. Every step leaves an
event; every end is one state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.formats.tree import Plan
from gpt_cursor_runner.landing import landing
from gpt_cursor_runner.landing.checking import CheckResult, checks_digest, run_check
from gpt_cursor_runner.landing.git import Git, GitFailed
from gpt_cursor_runner.landing.planning import Basis, plan_patch
from gpt_cursor_runner.landing.policy import require_approval
from gpt_cursor_runner.landing.sandbox import Sandbox
from gpt_cursor_runner.landing.sealing import Sealed, carry, seal
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.ledger.events import Event
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.outcome import Fault, HumanNeeded, PatchRefused, WorldFailed
from gpt_cursor_runner.patch.status import Status

# A patch that takes its runner down this often is not tried again.
MAX_ATTEMPTS = 5
# How often the owner may commit while we check before we give the patch back to
# the queue.
_MAX_ROUNDS = 5
# How many files and hunks an event names; their number is recorded whole.
_LISTED = 200
# What git, the disk or the remote may do to us after the branch has moved, when
# nothing may be taken back any more.
_TROUBLE = (GitFailed, WorldFailed, OSError)


class Record(Protocol):
    """Writes an event under our lease; raises LeaseLost or CancelAsked when the
    attempt must stop.
    """

    def __call__(self, kind: str, data: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Ending:
    """The state in which an attempt leaves the patch, and the facts of it."""

    status: Status
    outcome: dict[str, Any]
    counted: bool = (
        True  # an attempt that our own stop cut short does not bring the patch nearer to failing
    )


@dataclass(frozen=True)
class Attempt:
    """Everything one walk of one patch needs; `tick` is called often and raises
    when the walk must stop.
    """

    claim: StoredPatch
    repository: Repository
    git: Git
    sandbox: Callable[[], Sandbox]
    evidence: Evidence
    workspace: Path
    history: list[Event]
    record: Record
    tick: Callable[[], None]

    def walk(self) -> Ending:
        """Walk the patch to its end. Raises one of the exceptions of
        `patch/outcome.py` when it cannot land.
        """
        done = self._landed_before()
        if done is not None:
            return self._follow_up(done)
        if self.claim.attempts > MAX_ATTEMPTS:
            raise WorldFailed(
                "poison",
                f"the patch was tried {MAX_ATTEMPTS} times and the runner did not get to its end",
                "Look for what ends the runner in its log and in the kernel's, then `gcr retry` the"
                " patch.",
            )
        plan, sealed = self._plan_and_seal()
        for _ in range(_MAX_ROUNDS):
            sealed = self._carry_to_tip(sealed)
            results = self._check(sealed)
            if self.claim.patch.mode == "preview":
                return Ending(
                    Status.PREVIEWED,
                    {"code": "previewed", **self._change(sealed.base, sealed.commit)},
                )
            self._ask_owner(plan)
            landed = self._land(sealed, results)
            if landed is not None:
                return self._follow_up(landed)
        raise WorldFailed(
            "base_keeps_moving", f"the branch moved {_MAX_ROUNDS} times while the patch was checked"
        )

    def _landed_before(self) -> dict[str, Any] | None:
        """The facts of our own landing, if an earlier attempt got past the
        branch and was lost after it.
        """
        intents = [event.data for event in self.history if event.kind == "landing"]
        branch = self.claim.branch
        return next(
            (
                one
                for one in reversed(intents)
                if landing.has_landed(self.git, branch, one["commit"])
            ),
            None,
        )

    def _plan_and_seal(self) -> tuple[Plan, Sealed]:
        patch = self.claim.patch
        changes = tuple(enumerate(patch.changes))
        base, plan = plan_patch(
            self.git,
            self.claim.branch,
            Basis.of(patch),
            lambda tree: make_plan(changes, tree, patch.tolerance),
        )
        self.tick()
        hunks = [{"path": one.path, "line": one.line, "rung": one.rung} for one in plan.hunks]
        files = [action.path for action in plan.actions][:_LISTED]
        facts = {
            "base": base,
            "plan_digest": plan.digest(),
            "files": files,
            "hunks": hunks[:_LISTED],
        }
        self.record("planned", facts)
        sealed = seal(self.git, plan, self.claim.id, base, self.claim.accepted_at)
        self.record("sealed", {"base": base, "commit": sealed.commit, "tree": sealed.tree})
        return plan, sealed

    def _carry_to_tip(self, sealed: Sealed) -> Sealed:
        carried = carry(self.git, sealed, self.git.tip(self.claim.branch), self.claim.accepted_at)
        if carried != sealed:
            self.record(
                "carried", {"base": carried.base, "commit": carried.commit, "tree": carried.tree}
            )
        self.evidence.keep_diff(landing.diff(self.git, carried.base, carried.commit))
        return carried

    def _check(self, sealed: Sealed) -> list[CheckResult]:
        results: list[CheckResult] = []
        if not self.repository.checks:
            self.record(
                "not_checked", {"tree": sealed.tree, "reason": "the owner configured no checks"}
            )
            return results
        self.evidence.forget_check_logs()
        sandbox = self.sandbox()
        with Workspace(self.workspace) as workspace:
            workspace.fill(self.git, sealed.tree, self.tick)
            for number, check in enumerate(self.repository.checks, start=1):
                log = self.evidence.check_log(number, check.name)
                result = run_check(check, workspace, sandbox, log, self.tick)
                self.record(
                    "checked",
                    {"tree": sealed.tree, "sandbox_missing": sandbox.why, **result.to_json()},
                )
                results.append(result)
                if result.status == "not_started" and not _is_in_tree(check.command[0]):
                    raise _missing_program(result)
                if result.status != "passed":
                    raise PatchRefused([_failed_check(result)], code="checks_failed")
        return results

    def _ask_owner(self, plan: Plan) -> None:
        if self.claim.approved_by is None:
            require_approval(plan, self.repository.approval, self.repository.protected)

    def _land(self, sealed: Sealed, results: list[CheckResult]) -> dict[str, Any] | None:
        """The facts of the landing, or None when the branch had moved on; the
        intent is recorded first.
        """
        patch = self.claim.patch
        trailers = {
            "Patch-Id": patch.id,
            "Patch-Digest": self.claim.digest,
            "Submitted-By": self.claim.submitted_by,
        }
        trailers |= (
            {"Checked-Tree": sealed.tree, "Checks-Digest": checks_digest(results)}
            if results
            else {}
        )
        trailers |= {"Approved-By": self.claim.approved_by} if self.claim.approved_by else {}
        subject = patch.identity.subject(patch.title)
        body = _message_body(patch.description or "")
        commit = landing.compose(self.git, sealed, subject, body, trailers, self.claim.accepted_at)
        facts = {"commit": commit, "parent": sealed.base, "tree": sealed.tree, "subject": subject}
        self.record("landing", facts)
        checkout = None
        try:
            checkout = landing.move_branch(self.git, self.claim.branch, sealed.base, commit)
        except (landing.BaseMoved, HumanNeeded, *_TROUBLE) as trouble:
            # The owner may have committed on top of us at once, or git may have
            # died after the move: only the branch can tell whether we landed.
            if not landing.has_landed(self.git, self.claim.branch, commit):
                self._tell_not_moved(trouble, sealed)
                return None
        return facts | {"checkout": checkout}

    def _tell_not_moved(self, trouble: Exception, sealed: Sealed) -> None:
        """Record that the branch is not ours, and pass on any trouble but a
        moved base, for which there is a cure.
        """
        if isinstance(trouble, landing.BaseMoved):
            self.record(
                "base_moved", {"expected": sealed.base, "found": self.git.tip(self.claim.branch)}
            )
            return
        self.record("not_moved", {"expected": sealed.base, "reason": str(trouble)[:500]})
        raise trouble

    def _follow_up(self, landed: dict[str, Any]) -> Ending:
        """What follows from a moved branch. Each step may be repeated, none can
        take the landing back or fail it.
        """
        facts = {"code": "landed", "branch": self.claim.branch, **landed}
        try:
            facts |= self._change(landed["parent"], landed["commit"])
        except _TROUBLE as trouble:
            facts["change_unknown"] = str(trouble)[:500]
        if self.repository.tag:
            facts |= self._tag(landed["commit"])
        if self.repository.push:
            facts["push"] = self._push(landed["commit"], facts.get("tag"))
        return Ending(Status.LANDED, facts)

    def _tag(self, commit: str) -> dict[str, Any]:
        try:
            ours = landing.tag(
                self.git, self.claim.id, commit, self.claim.title, self.claim.accepted_at
            )
        except _TROUBLE as refused:
            return {"tag_failed": str(refused)[:500]}
        return {"tag": self.claim.id} if ours else {"tag_taken": self.claim.id}

    def _push(self, commit: str, tag: str | None) -> dict[str, Any]:
        remote = self.repository.push
        try:
            landing.push(self.git, remote, self.claim.branch, commit, tag)
        except _TROUBLE as refused:
            return {"remote": remote, "pushed": False, "reason": str(refused)[:500]}
        return {"remote": remote, "pushed": True}

    def _change(self, base: str, commit: str) -> dict[str, Any]:
        stat = landing.diff_stat(self.git, base, commit)
        counts = {
            "files_changed": len(stat.files),
            "insertions": stat.insertions,
            "deletions": stat.deletions,
        }
        return {"files": list(stat.files[:_LISTED]), **counts}


def _message_body(text: str) -> str:
    """The sender's description as git takes it in a commit: without the control
    characters that it refuses.
    """
    return "".join(c for c in text.replace("\r\n", "\n") if c in "\n\t" or c.isprintable())


def _is_in_tree(program: str) -> bool:
    """Whether a check's program is a file of the repository, so that a patch
    can take it away.
    """
    return "/" in program and not program.startswith("/")


def _missing_program(result: CheckResult) -> WorldFailed:
    """A program of the owner's machine that is not there is no fault of the
    sender's.
    """
    return WorldFailed(
        "check_not_started",
        f"the check '{result.name}' could not be started: {result.tail.strip()[-200:]}",
        f"Install {result.command[0]}, or correct the check in runner.toml; then `gcr retry` the"
        " patch.",
    )


def _failed_check(result: CheckResult) -> Fault:
    how = {"timed_out": "ran out of time", "not_started": "could not be started"}.get(
        result.status, f"failed with exit code {result.exit_code}"
    )
    return Fault(
        code=f"check_{result.status}",
        message=f"the check '{result.name}' {how}",
        next_step="Read its output, mend the patch, and send it under a new id.",
        expected=tuple(result.tail.splitlines()[-12:]),
    )
