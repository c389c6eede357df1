"""The corpus of patches that others wrote, read from where it lies: beside the
checkout, or where GCR_CORPUS says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PLACE = Path(os.environ.get("GCR_CORPUS") or Path(__file__).parents[3] / "shared" / "patch_corpus")


@dataclass(frozen=True)
class Files:
    """A tree: contents and link targets by path. Paths hold bytes that are no
    UTF-8 as lone surrogates.
    """

    contents: Mapping[str, bytes] = field(default_factory=dict)
    executable: frozenset[str] = frozenset()
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A patch, the tree it meets, and what should come of it. `after` are the
    trees that are right, the best first.
    """

    name: str
    format: str
    group: str
    source: str
    sent: bytes
    options: Mapping[str, Any]
    before: Files
    after: Sequence[Files]
    must_fail: bool
    escapes: bool = False
    changes_nothing: bool = False
    blobs: Sequence[bytes] = ()


def read_corpus(place: Path = PLACE) -> list[Case]:
    """Every case, sorted by name; none when there is no corpus."""
    return [read_case(told.parent) for told in sorted(place.glob("*/case.json"))]


def read_case(folder: Path) -> Case:
    told = json.loads((folder / "case.json").read_bytes())
    after = _tree(folder, told, "after")
    other = {path: text.encode() for path, text in told.get("alternative_after", {}).items()}
    return Case(
        name=folder.name,
        format=told["format"],
        group=told["group"],
        source=told["source"]["repo"],
        sent=(folder / "patch.txt").read_bytes(),
        options=told.get("options", {}),
        before=_tree(folder, told, "before"),
        after=(after, Files({**after.contents, **other}, after.executable, after.links)),
        must_fail=told["expect"] == "fail",
        escapes=bool(told.get("security")),
        changes_nothing=bool(told.get("no_change")),
        blobs=tuple(_contents(folder / "base").values()),
    )


def _tree(folder: Path, told: Mapping[str, Any], which: str) -> Files:
    links = told.get("links", {}).get(which, {})
    modes = told.get("modes", {}).get(which, [])
    return Files(_contents(folder / which), frozenset(modes), links)


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
