"""The outcomes of a patch that reached the end: landed, or previewed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gpt_cursor_runner.patch.events import EventKind, Landing
from gpt_cursor_runner.patch.status import Status


@dataclass(frozen=True)
class DiffSummary:
    """The size of a change; `files` may be cut, the counts are not."""

    files: tuple[str, ...]
    files_changed: int
    insertions: int
    deletions: int

    def to_json(self) -> dict[str, Any]:
        return {
            "files": list(self.files),
            "files_changed": self.files_changed,
            "insertions": self.insertions,
            "deletions": self.deletions,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DiffSummary | None:
        if "files_changed" not in data:
            return None
        return cls(
            files=tuple(data.get("files", ())),
            files_changed=data["files_changed"],
            insertions=data.get("insertions", 0),
            deletions=data.get("deletions", 0),
        )


@dataclass(frozen=True)
class Push:
    """A push of the landed commit; `reason` is set when it failed."""

    remote: str
    pushed: bool
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"remote": self.remote, "pushed": self.pushed}
        if self.reason is not None:
            body["reason"] = self.reason
        return body


@dataclass(frozen=True)
class Landed:
    """The branch holds the patch.

    `checkout` is the path of the owner's checkout that was moved along with the
    branch. The other facts are those of the steps after the move, each of which
    may have failed.
    """

    status: ClassVar[Status] = Status.LANDED
    kind: ClassVar[EventKind] = EventKind.LANDED
    code: ClassVar[str] = "landed"

    branch: str
    landing: Landing
    checkout: str | None = None
    # False when an earlier attempt moved the branch and was lost before it
    # could record more.
    checkout_observed: bool = True
    change: DiffSummary | None = None
    change_unknown: str | None = None
    tag: str | None = None
    tag_taken: str | None = None
    tag_failed: str | None = None
    push: Push | None = None

    def to_json(self) -> dict[str, Any]:
        # A step that was not made has no member; `checkout` is null when the
        # branch was checked out nowhere.
        body = {"code": self.code, "branch": self.branch, **self.landing.to_json()}
        if self.checkout_observed:
            body["checkout"] = self.checkout
        if self.change is not None:
            body |= self.change.to_json()
        body |= self._texts()
        if self.push is not None:
            body["push"] = self.push.to_json()
        return body

    def _texts(self) -> dict[str, str]:
        texts: dict[str, str] = {}
        for name in ("change_unknown", "tag", "tag_taken", "tag_failed"):
            value = getattr(self, name)
            if value is not None:
                texts[name] = value
        return texts

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Landed:
        push = data.get("push")
        return cls(
            branch=data.get("branch", ""),
            landing=Landing.from_json(data),
            checkout=data.get("checkout"),
            checkout_observed="checkout" in data,
            change=DiffSummary.from_json(data),
            change_unknown=data.get("change_unknown"),
            tag=data.get("tag"),
            tag_taken=data.get("tag_taken"),
            tag_failed=data.get("tag_failed"),
            push=None if push is None else Push(**push),
        )


@dataclass(frozen=True)
class Previewed:
    """The patch was checked as far as landing; the branch was not moved."""

    status: ClassVar[Status] = Status.PREVIEWED
    kind: ClassVar[EventKind] = EventKind.PREVIEWED
    code: ClassVar[str] = "previewed"

    change: DiffSummary | None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code}
        if self.change is not None:
            body |= self.change.to_json()
        return body

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Previewed:
        return cls(DiffSummary.from_json(data))
