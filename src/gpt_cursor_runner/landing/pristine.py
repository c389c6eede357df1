"""The files of a branch, kept from one patch to the next, so that a workspace
costs as much as the patch changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.objects import Objects
from gpt_cursor_runner.landing.tree_files import Owner, TreeFiles, give, uid_of
from gpt_cursor_runner.landing.workspace import remove

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class PristineTree:
    """A directory that is updated from tree to tree. One patch at a time may
    use it, and nothing else may write to it.
    """

    def __init__(self, directory: Path, owner: Owner | None = None) -> None:
        self.files = directory / "files"
        self._owner = owner
        self._directory = directory
        self._state = directory / "state.json"

    def update(self, git: Git, tree_oid: str, tick: Callable[[], None] = lambda: None) -> Path:
        """Make the directory hold this tree; return the directory.

        Raises WorldFailed when git or the repository fails.
        """
        state = self._read_state()
        if state is not None and state["tree"] == tree_oid:
            return self.files
        # Without a state the files are unusable, also when this is interrupted.
        self._state.unlink(missing_ok=True)
        with Objects(git) as objects:
            tree_files = TreeFiles(objects, self._owner, tick)
            if state is None or objects.info(state["tree"]) is None:
                self._begin()
                tree_files.write(tree_oid, self.files)
            else:
                tree_files.change(state["tree"], tree_oid, self.files)
        self._write_state(tree_oid)
        return self.files

    def _begin(self) -> None:
        remove(self._directory)
        self.files.mkdir(parents=True)
        give(self._owner, self.files)

    def _read_state(self) -> dict[str, Any] | None:
        """The state, or None when the files cannot be used."""
        with suppress(OSError, ValueError):
            state = json.loads(self._state.read_text())
            if state == self._state_of(state["tree"]):
                return dict(state)
        return None

    def _write_state(self, tree_oid: str) -> None:
        self._state.write_text(json.dumps(self._state_of(tree_oid)))

    def _state_of(self, tree_oid: str) -> dict[str, Any]:
        return {"tree": tree_oid, "uid": uid_of(self._owner), "boot": _boot_id()}


def _boot_id() -> str:
    """The files are not synced to the disk, so that those of an earlier boot
    may lack their contents.
    """
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return ""
