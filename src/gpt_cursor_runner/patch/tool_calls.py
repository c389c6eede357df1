"""Calls of the common editor tools lifted to changes, before validation.

- OpenAI's operations `{type: update_file | create_file | delete_file, path,
  diff, move_to?}`, and its `apply_patch`
- Anthropic's text editor `{command: str_replace | insert | create, path, …}`;
  OpenHands and SWE-agent send the same
  members without a command
- Claude Code's and Gemini's edits `{file_path, old_string, new_string}` and
  writes `{file_path, content}`

Members keep the values they were sent with, so that what is wrong with them is
found by validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LiftedChange:
    """A change in today's shape; `names` says for its members what they are
    called in what was sent ("" is itself).
    """

    change: Any
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Edit:
    """One command of an editor tool: the type of change it is, and our name for
    each of its members.
    """

    type: str
    members: Mapping[str, str]


_PATHS = {"file_path": "path"}
_EDITS = {
    "str_replace": _Edit(
        "str_replace",
        {"old_str": "old", "new_str": "new", "old_string": "old", "new_string": "new", **_PATHS},
    ),
    "insert": _Edit(
        "insert", {"insert_line": "after_line", "insert_text": "text", "new_str": "text", **_PATHS}
    ),
    "create": _Edit("upsert", {"file_text": "contents", **_PATHS}),
    "write": _Edit("upsert", {"content": "contents", **_PATHS}),
}
# Without a command, the first of these members that has a value tells it.
_TELLING = {
    "file_text": "create",
    "insert_line": "insert",
    "old_str": "str_replace",
    "new_str": "str_replace",
    "old_string": "str_replace",
    "new_string": "str_replace",
}
_UNUSED = (
    *_TELLING,
    "insert_text",
    "view_range",
)  # a tool's other members, which some models send as null
_OPERATIONS = ("update_file", "create_file", "delete_file")
_WRAPPERS = {"apply_patch_call": "operation", "tool_use": "input"}


def is_call(body: Mapping[str, Any]) -> bool:
    """Whether an object looks like one change, ours or an editor tool's."""
    return isinstance(body.get("type"), str) or "command" in body or _told(body) is not None


def lift_call(sent: Any) -> LiftedChange:  # noqa: ANN401  any JSON; validated later
    """Return one change in today's shape; what is in no shape known here comes
    back as it is.
    """
    if not isinstance(sent, dict):
        return LiftedChange(sent)
    kind = sent.get("type")
    member = _WRAPPERS.get(kind, "") if isinstance(kind, str) else ""
    if not isinstance(sent.get(member), dict):
        return _lift_bare(sent)
    inner = _lift_bare(sent[member])
    return LiftedChange(
        inner.change,
        {"": member} | {ours: f"{member}/{name}" for ours, name in inner.names.items()},
    )


def _lift_bare(sent: dict[str, Any]) -> LiftedChange:
    kind = sent.get("type")
    if not isinstance(kind, str):
        return LiftedChange(sent) if "type" in sent else _lift_edit(sent, None)
    if kind in _OPERATIONS:
        return _lift_operation(kind, sent)
    if kind == "apply_patch" and "text" not in sent:
        return _renamed(sent, kind, {"patch": "text", "input": "text"})
    return _lift_edit(sent, kind)


def _lift_operation(kind: str, sent: dict[str, Any]) -> LiftedChange:
    empty = sent.get("diff", "") in ("", None)
    if kind == "delete_file":
        return _renamed(_without(sent, "diff") if empty else sent, "delete", {})
    if kind == "create_file":
        if sent.get("diff") == "":
            return _renamed(sent, "upsert", {"diff": "contents"}, on_exists="refuse")
        return _renamed(sent, "apply_patch", {"diff": "text"}, create=True)
    if empty and isinstance(sent.get("move_to"), str):
        return _renamed(_without(sent, "diff"), "move", {"path": "from", "move_to": "to"})
    return _renamed(sent, "apply_patch", {"diff": "text", "move_to": "to"})


def _lift_edit(sent: dict[str, Any], kind: str | None) -> LiftedChange:
    """Lift a command; told by `command`, by a `type` of ours with a tool's
    members, or by the members alone.
    """
    said = sent.get("command", kind)
    if kind is not None and said != kind:
        return LiftedChange(sent)
    if said is None:
        said = _told(sent)
    edit = _EDITS.get(said) if isinstance(said, str) else None
    foreign = edit is not None and any(name in sent for name in edit.members)
    if "command" not in sent and not foreign:
        return LiftedChange(sent)
    if edit is None:
        return _renamed(_without(sent, "command"), said, {}, told_by="command")
    idle = [
        name for name in _UNUSED if name not in edit.members and name in sent and sent[name] is None
    ]
    more: dict[str, Any] = {"on_exists": "refuse"} if said == "create" else {}
    if said == "str_replace" and "old_str" in sent and "new_str" not in sent and "new" not in sent:
        more["new"] = ""  # the tools leave it out to delete
    told_by = "command" if "command" in sent else "type"
    return _renamed(
        _without(sent, "command", *idle), edit.type, edit.members, told_by=told_by, **more
    )


def _told(sent: Mapping[str, Any]) -> str | None:
    if {"file_path", "content"} <= sent.keys():
        return "write"
    present = [name for name in _TELLING if name in sent]
    valued = [name for name in present if sent[name] is not None]
    return next((_TELLING[name] for name in valued or present), None)


def _without(sent: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in sent.items() if name not in names}


def _renamed(
    sent: dict[str, Any],
    kind: Any,  # noqa: ANN401  as sent, when it is unknown
    members: Mapping[str, str],
    *,
    told_by: str = "type",
    **more: Any,  # noqa: ANN401  members of a change
) -> LiftedChange:
    """The change with our names. Of two members that mean the same the second
    stays as it is, and is refused so.
    """
    change: dict[str, Any] = {"type": kind, **more}
    names = {"type": told_by}
    for name, value in sent.items():
        ours = members.get(name, name)
        if ours in change or (ours != name and ours in sent):
            ours = name
        if name != "type":
            change[ours] = value
            names[ours] = name
    for name, ours in members.items():
        names.setdefault(ours, name)
    return LiftedChange(change, names)
