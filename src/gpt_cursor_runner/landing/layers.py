"""Keeps what setup commands make (`.venv`, `node_modules`, generated sources),
one layer for each content of the files that a command depends on.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gpt_cursor_runner.config import Setup
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.objects import Objects
from gpt_cursor_runner.landing.tree_files import Owner, give
from gpt_cursor_runner.landing.workspace import Workspace, remove
from gpt_cursor_runner.patch.faults import WorldFailed

# Raised when a layer of an earlier version cannot be used any longer.
_FORMAT = 1
_KEPT_LAYERS = 6
_KEPT_SECONDS = 14 * 24 * 3600.0


@dataclass(frozen=True)
class Layer:
    """`files` holds what `provides` names, at its paths."""

    key: str
    files: Path
    provides: tuple[str, ...]


@dataclass(frozen=True)
class LayerStore:
    """The layers of one repository."""

    directory: Path
    owner: Owner | None = None

    def find(self, key: str, setup: Setup) -> Layer | None:
        """The layer with this key, marked as used now."""
        layer = self._layer(key, setup)
        try:
            os.utime(layer.files.parent)
        except FileNotFoundError:
            return None
        return layer

    def keep(self, key: str, setup: Setup, workspace: Workspace) -> Layer:
        """Keep what the command of a layer has made in a workspace.

        Raises WorldFailed when it did not make a path that it provides.
        """
        layer = self._layer(key, setup)
        building = workspace.directory / "layer"
        for provided in setup.provides:
            made = workspace.written(provided)
            # A link would show a directory of the machine in its place.
            if made.is_symlink() or not made.exists():
                raise WorldFailed(
                    "setup_provides_missing",
                    f"the setup command {' '.join(setup.command)} ended well and did not make"
                    f" {provided}",
                    "Correct `provides`, or the command, in runner.toml.",
                )
            target = building / "files" / provided
            self._make_parents(building / "files", PurePosixPath(provided))
            # On one disk: a copy of node_modules would take minutes.
            made.rename(target)
        self.directory.mkdir(parents=True, exist_ok=True)
        # Another branch may have kept the same layer meanwhile.
        with suppress(OSError):
            building.rename(layer.files.parent)
        self._prune()
        return layer

    def _make_parents(self, files: Path, provided: PurePosixPath) -> None:
        """In an overlay the directories of the layer cover those of the tree, so
        they belong to the same user.
        """
        for parent in reversed([files / name for name in provided.parents]):
            parent.mkdir(parents=True, exist_ok=True)
            give(self.owner, parent)

    def _layer(self, key: str, setup: Setup) -> Layer:
        return Layer(key, self.directory / key / "files", setup.provides)

    def _prune(self) -> None:
        """Remove layers that were not used for two weeks, except the newest."""
        by_age = sorted(self.directory.iterdir(), key=lambda path: -path.stat().st_mtime)
        too_old = time.time() - _KEPT_SECONDS
        for path in by_age[_KEPT_LAYERS:]:
            if path.stat().st_mtime < too_old:
                remove(path)


def layer_keys(git: Git, tree: str, setups: Sequence[Setup], uid: int) -> list[str]:
    """The key of each setup command's layer for a tree: it changes with the
    command, the files it is keyed by, and the layers before it.
    """
    keys = []
    before = ""
    with Objects(git) as objects:
        for setup in setups:
            content = []
            for path in setup.keyed_by:
                header = objects.info(f"{tree}:{path}")
                content.append([path, header and header.oid])
            facts = [_FORMAT, before, uid, setup.model_dump(mode="json"), content]
            before = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
            keys.append(before)
    return keys
