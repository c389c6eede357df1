"""Calls of the common editor tools lifted to changes, before validation.

- OpenAI's operations `{type: update_file | create_file | delete_file, path,
  diff, move_to?}`, and its `apply_patch`
- Anthropic's text editor `{command: str_replace | insert | create, path, …}`;
  OpenHands and SWE-agent send the same members without a command
- Claude Code's and Gemini's edits `{file_path, old_string, new_string}` and
  writes `{file_path, content}`

Members keep the values they were sent with, so that validation reports what is
wrong with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LiftedChange:
    """A change in today's shape. `names` maps its members to their names in the
    object that was sent; "" stands for the object itself.
    """

    change: Any
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Command:
    """One command of an editor tool: the type of the change, and our name for
    each of the tool's members.
    """

    type: str
    members: Mapping[str, str]


_PATHS = {"file_path": "path"}
_COMMANDS = {
    "str_replace": _Command(
        "str_replace",
        {"old_str": "old", "new_str": "new", "old_string": "old", "new_string": "new", **_PATHS},
    ),
    "insert": _Command(
        "insert", {"insert_line": "after_line", "insert_text": "text", "new_str": "text", **_PATHS}
    ),
    "create": _Command("upsert", {"file_text": "contents", **_PATHS}),
    "write": _Command("upsert", {"content": "contents", **_PATHS}),
}
# A call without a command: the first of these members that has a value implies
# it.
_IMPLIED_COMMANDS = {
    "file_text": "create",
    "insert_line": "insert",
    "old_str": "str_replace",
    "new_str": "str_replace",
    "old_string": "str_replace",
    "new_string": "str_replace",
}
# Members of a tool's other commands, which some models send as null.
_OPTIONAL_MEMBERS = (*_IMPLIED_COMMANDS, "insert_text", "view_range")
# Objects that hold the call in a member of their own.
_WRAPPERS = {"apply_patch_call": "operation", "tool_use": "input"}


def is_call(body: Mapping[str, Any]) -> bool:
    """Whether an object looks like one change, ours or an editor tool's."""
    return (
        isinstance(body.get("type"), str) or "command" in body or _implied_command(body) is not None
    )


def lift_call(sent: Any) -> LiftedChange:  # noqa: ANN401  any JSON; validated later
    """Return one change in today's shape; an object in no supported shape is
    returned as it is.
    """
    if not isinstance(sent, dict):
        return LiftedChange(sent)
    member = _wrapping_member(sent)
    if not isinstance(sent.get(member), dict):
        return _lift_bare(sent)
    # Unwrapped once: no tool wraps a call twice, and depth stays bounded.
    inner = _lift_bare(sent[member])
    names = {"": member}
    for ours, theirs in inner.names.items():
        names[ours] = f"{member}/{theirs}"
    return LiftedChange(inner.change, names)


def _wrapping_member(sent: dict[str, Any]) -> str:
    """The name of the member that may hold the call; "" when there is none."""
    kind = sent.get("type")
    if not isinstance(kind, str):
        return ""
    return _WRAPPERS.get(kind, "")


def _lift_bare(sent: dict[str, Any]) -> LiftedChange:
    if "type" not in sent:
        return _lift_edit(sent, None)
    kind = sent["type"]
    if not isinstance(kind, str):
        return LiftedChange(sent)
    if kind in _OPERATIONS:
        return _OPERATIONS[kind](sent)
    if kind == "apply_patch" and "text" not in sent:
        return _rename(sent, kind, {"patch": "text", "input": "text"})
    return _lift_edit(sent, kind)


def _lift_deletion(sent: dict[str, Any]) -> LiftedChange:
    if _has_diff(sent):
        # Kept, so that validation rejects a diff in a deletion.
        return _rename(sent, "delete", {})
    return _rename(_without(sent, "diff"), "delete", {})


def _lift_creation(sent: dict[str, Any]) -> LiftedChange:
    # An apply_patch text has at least one line, so that an empty file is an
    # upsert.
    if sent.get("diff") == "":
        return _rename(sent, "upsert", {"diff": "contents"}, on_exists="refuse")
    return _rename(sent, "apply_patch", {"diff": "text"}, create=True)


def _lift_update(sent: dict[str, Any]) -> LiftedChange:
    if not _has_diff(sent) and isinstance(sent.get("move_to"), str):
        return _rename(_without(sent, "diff"), "move", {"path": "from", "move_to": "to"})
    return _rename(sent, "apply_patch", {"diff": "text", "move_to": "to"})


_OPERATIONS = {
    "update_file": _lift_update,
    "create_file": _lift_creation,
    "delete_file": _lift_deletion,
}


def _has_diff(sent: dict[str, Any]) -> bool:
    return sent.get("diff") not in ("", None)


def _lift_edit(sent: dict[str, Any], kind: str | None) -> LiftedChange:
    """Lift a command. It is named by `command`, by a `type` of ours beside the
    tool's members, or implied by the members alone.
    """
    name = sent.get("command", kind)
    if kind is not None and name != kind:
        return LiftedChange(sent)
    if name is None:
        name = _implied_command(sent)
    if "command" in sent:
        return _lift_named(sent, name)
    command = _command_named(name)
    if command is not None and not command.members.keys().isdisjoint(sent):
        return _lift_command(sent, command, name, kind_from="type")
    return LiftedChange(sent)


def _lift_named(sent: dict[str, Any], name: Any) -> LiftedChange:  # noqa: ANN401  as sent
    command = _command_named(name)
    if command is None:
        return _rename(_without(sent, "command"), name, {}, kind_from="command")
    return _lift_command(sent, command, name, kind_from="command")


def _command_named(name: Any) -> _Command | None:  # noqa: ANN401  as sent
    # Any other JSON value may be unhashable.
    if not isinstance(name, str):
        return None
    return _COMMANDS.get(name)


def _lift_command(
    sent: dict[str, Any],
    command: _Command,
    name: Any,  # noqa: ANN401  a key of _COMMANDS
    *,
    kind_from: str,
) -> LiftedChange:
    added: dict[str, Any] = {}
    if name == "create":
        added["on_exists"] = "refuse"
    if name == "str_replace" and _is_deletion(sent):
        added["new"] = ""
    unused = _unused_members(sent, command)
    members = _without(sent, "command", *unused)
    return _rename(members, command.type, command.members, kind_from=kind_from, **added)


def _is_deletion(sent: dict[str, Any]) -> bool:
    # Anthropic's tool defines new_str as optional: without it the old text is
    # deleted.
    return "old_str" in sent and "new_str" not in sent and "new" not in sent


def _unused_members(sent: dict[str, Any], command: _Command) -> list[str]:
    null_members = {name for name, value in sent.items() if value is None}
    unused = null_members.intersection(_OPTIONAL_MEMBERS)
    return list(unused.difference(command.members))


def _implied_command(sent: Mapping[str, Any]) -> str | None:
    if {"file_path", "content"} <= sent.keys():
        return "write"
    implied = None
    for name, command in _IMPLIED_COMMANDS.items():
        if sent.get(name) is not None:
            return command
        if name in sent and implied is None:
            implied = command
    return implied


def _without(sent: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in sent.items() if name not in names}


def _rename(
    sent: dict[str, Any],
    kind: Any,  # noqa: ANN401  as sent, when it is unknown
    members: Mapping[str, str],
    *,
    kind_from: str = "type",
    **added: Any,  # noqa: ANN401  members of a change
) -> LiftedChange:
    """The change under our names. Of two members that mean the same, the second
    keeps its name, so that validation rejects it.
    """
    change: dict[str, Any] = {"type": kind, **added}
    names = {"type": kind_from}
    for name, value in _without(sent, "type").items():
        ours = members.get(name, name)
        if ours in change or (ours != name and ours in sent):
            ours = name
        change[ours] = value
        names[ours] = name
    for name, ours in members.items():
        names.setdefault(ours, name)
    return LiftedChange(change, names)
