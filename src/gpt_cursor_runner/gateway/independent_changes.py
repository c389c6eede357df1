"""Which changes of a malformed patch can be planned, so that one answer lists
their faults too.
"""

from __future__ import annotations

from collections.abc import Iterator

from gpt_cursor_runner.patch.model import Change
from gpt_cursor_runner.patch.parsing import Parsed

_PATH_MEMBERS = ("path", "from", "to")
_PATH_FIELDS = ("path", "from_", "to")


def independent_changes(parsed: Parsed) -> list[tuple[int, Change]]:
    """The sound changes whose files no malformed change names: only their
    faults are certain to be their own.
    """
    doubtful_paths = _doubtful_paths(parsed)
    return [
        (index, change)
        for index, change in parsed.sound
        if doubtful_paths.isdisjoint(_paths(change))
    ]


def _doubtful_paths(parsed: Parsed) -> set[str]:
    """The paths that malformed changes name."""
    changes = parsed.lifted.body.get("changes")
    if not isinstance(changes, list):
        return set()
    sound_indexes = {index for index, _ in parsed.sound}
    paths: set[str] = set()
    for index, change in enumerate(changes):
        if index not in sound_indexes:
            paths.update(_raw_paths(change))
    return paths


def _raw_paths(change: object) -> Iterator[str]:
    if not isinstance(change, dict):
        return
    for name in _PATH_MEMBERS:
        path = change.get(name)
        if isinstance(path, str):
            yield path


def _paths(change: Change) -> Iterator[str]:
    for name in _PATH_FIELDS:
        path = getattr(change, name, None)
        if path is not None:
            yield path
