"""The corpus of patches from other projects, read from the folder beside the
checkout or from GCR_CORPUS.
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
    """A tree: contents and link targets by path. Bytes of a path that are not
    UTF-8 are lone surrogates.
    """

    contents: Mapping[str, bytes] = field(default_factory=dict)
    executable: frozenset[str] = frozenset()
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A patch, the tree before it, and the expected result. `after` holds the
    correct trees, the best first.
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
    return [read_case(file.parent) for file in sorted(place.glob("*/case.json"))]


def read_case(folder: Path) -> Case:
    description = json.loads((folder / "case.json").read_bytes())
    after = _tree(folder, description, "after")
    other = {path: text.encode() for path, text in description.get("alternative_after", {}).items()}
    return Case(
        name=folder.name,
        format=description["format"],
        group=description["group"],
        source=description["source"]["repo"],
        sent=(folder / "patch.txt").read_bytes(),
        options=description.get("options", {}),
        before=_tree(folder, description, "before"),
        after=(after, Files({**after.contents, **other}, after.executable, after.links)),
        must_fail=description["expect"] == "fail",
        escapes=bool(description.get("security")),
        changes_nothing=bool(description.get("no_change")),
        blobs=tuple(_contents(folder / "base").values()),
    )


def _tree(folder: Path, description: Mapping[str, Any], name: str) -> Files:
    links = description.get("links", {}).get(name, {})
    modes = description.get("modes", {}).get(name, [])
    return Files(_contents(folder / name), frozenset(modes), links)


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
