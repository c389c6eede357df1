"""Bodies in other shapes lifted to today's patch, before validation.

Three historical shapes are supported: `{id, role, target_file, patch: {pattern,
replacement}}`, `{…, patch: {mutations: […]}}` and `{blockId | id, mutations:
[…]}`. A body may also be one bare change beside its id and title, and each
change a call of an editor tool (tool_calls.py). A fault still points into the
body as it was sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gpt_cursor_runner.patch.tool_calls import LiftedChange, is_call, lift_call

# Members that mean the same in every shape.
_COMMON = (
    "title",
    "repository",
    "base",
    "description",
    "role",
    "priority",
    "mode",
    "tolerance",
    "expect_plan",
)
_OF_A_PATTERN = ("pattern", "replacement", "flags", "expect_matches")
_COMMAND_LISTS = (
    ("validate", "shell"),
    ("postMutationBuild", "shell"),
    ("final", "shell"),
    ("validate", "commands"),
)
_HISTORICAL = frozenset(
    {
        *_COMMON,
        "id",
        "blockId",
        "target_file",
        "patch",
        "mutations",
        "version",
        *(member for member, _ in _COMMAND_LISTS),
    }
)
_OPERATIONS = {
    None: "upsert",
    "upsert": "upsert",
    "write": "upsert",
    "create": "upsert",
    "delete": "delete",
    "chmod": "chmod",
}
# Claimed commands are only recorded: bounds on how many, and on the length of
# each.
_MAX_COMMANDS = 50
_MAX_COMMAND_CHARS = 1000
_MAX_TITLE_CHARS = 300


@dataclass(frozen=True)
class Lifted:
    """A body in today's shape. `origins` maps pointers into it to pointers into
    the body that was sent, where the two differ.
    """

    body: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def pointer(self, pointer: str) -> str:
        """Translate a pointer into `body` to one into the body that was sent."""
        # The longest prefix with an origin wins.
        prefix = pointer
        while prefix and prefix not in self.origins:
            prefix = prefix.rpartition("/")[0]
        if not prefix:
            return pointer
        return self.origins[prefix] + pointer[len(prefix) :]


def lift(raw: dict[str, Any]) -> Lifted:
    """Return `raw` in today's shape; a body in no supported shape is returned
    as it is.
    """
    if "changes" in raw:
        return _lift_calls(raw)
    for holder, sent_at in ((raw.get("patch"), "/patch/mutations"), (raw, "/mutations")):
        mutations = _member(holder, "mutations")
        if isinstance(mutations, list):
            return _lift_mutations(raw, mutations, sent_at)
    return _lift_one_change(raw)


def _lift_one_change(raw: dict[str, Any]) -> Lifted:
    patch = raw.get("patch")
    if isinstance(patch, dict) and ("target_file" in raw or "pattern" in patch):
        return _lift_pattern(raw, patch)
    if is_call(raw):
        return _lift_single(raw)
    return Lifted(raw)


def _lift_calls(raw: dict[str, Any]) -> Lifted:
    if not isinstance(raw["changes"], list):
        return Lifted(raw)
    changes = []
    origins: dict[str, str] = {}
    for index, sent in enumerate(raw["changes"]):
        lifted = lift_call(sent)
        changes.append(lifted.change)
        origins |= _origins(lifted, index, f"/changes/{index}")
    return Lifted(raw | {"changes": changes}, origins)


def _lift_single(raw: dict[str, Any]) -> Lifted:
    """Lift a body that is one change: its members are divided between the patch
    and the change.
    """
    of_the_patch = {"id", *_COMMON}
    if raw.get("mode") not in ("apply", "preview"):
        # A change has a mode as well: the permissions of a file.
        of_the_patch.discard("mode")
    body: dict[str, Any] = {}
    sent: dict[str, Any] = {}
    for name, value in raw.items():
        part = body if name in of_the_patch else sent
        part[name] = value
    lifted = lift_call(sent)
    body["changes"] = [lifted.change]
    origins = {"/changes": "", "/changes/0": "", **_origins(lifted, 0, "")}
    return Lifted(body, origins)


def _origins(lifted: LiftedChange, index: int, sent_at: str) -> dict[str, str]:
    change_at = f"/changes/{index}"
    origins = {}
    for ours, theirs in lifted.names.items():
        if ours != theirs:
            pointer = f"{change_at}/{ours}" if ours else change_at
            origins[pointer] = f"{sent_at}/{theirs}"
    return origins


def _lift_pattern(raw: dict[str, Any], patch: dict[str, Any]) -> Lifted:
    change: dict[str, Any] = {"type": "regex"}
    if "target_file" in raw:
        change["path"] = raw["target_file"]
    for name in _OF_A_PATTERN:
        if name in patch:
            change[name] = patch[name]
    origins = {"/changes": "/patch", "/changes/0": "/patch", "/changes/0/path": "/target_file"}
    return _lift_historical(raw, [change], origins)


def _lift_mutations(raw: dict[str, Any], mutations: list[Any], sent_at: str) -> Lifted:
    changes = []
    origins = {"/changes": sent_at}
    for index, mutation in enumerate(mutations):
        changes.append(_lift_mutation(mutation))
        origins[f"/changes/{index}/type"] = f"{sent_at}/{index}/op"
    return _lift_historical(raw, changes, origins)


def _lift_mutation(mutation: Any) -> Any:  # noqa: ANN401  any JSON; validated later
    if not isinstance(mutation, dict):
        return mutation
    kind = mutation.get("op")
    # Any other JSON value may be unhashable, and is left for validation.
    if isinstance(kind, str | None):
        kind = _OPERATIONS.get(kind, kind)
    members = {name: value for name, value in mutation.items() if name != "op"}
    return {"type": kind, **members}


def _lift_historical(raw: dict[str, Any], changes: list[Any], origins: dict[str, str]) -> Lifted:
    body: dict[str, Any] = {name: raw[name] for name in ("id", *_COMMON) if name in raw}
    if "id" not in raw and "blockId" in raw:
        body["id"] = raw["blockId"]
        origins["/id"] = "/blockId"
    body.setdefault("title", _title(raw))
    body["changes"] = changes
    commands = _claimed_commands(raw)
    if commands:
        body["claimed_commands"] = commands
    return Lifted(body, origins, tuple(_warnings(raw, commands)))


def _title(raw: dict[str, Any]) -> str:
    """The first line of the description or role: the historical shapes had no
    title, and a commit needs one.
    """
    for name in ("description", "role"):
        text = raw.get(name)
        if isinstance(text, str) and text.strip():
            return text.strip().splitlines()[0][:_MAX_TITLE_CHARS]
    return "historical patch"


def _warnings(raw: dict[str, Any], commands: list[str]) -> list[str]:
    warnings = [
        f"the member '{name}' of this historical shape has no meaning here and was ignored"
        for name in sorted(raw.keys() - _HISTORICAL)
    ]
    if commands:
        warnings.append(
            "commands inside a patch are recorded and shown, never run; the owner's checks run"
            " instead"
        )
    return warnings


def _claimed_commands(raw: dict[str, Any]) -> list[str]:
    commands: list[str] = []
    for holder in (raw, raw.get("patch")):
        for member, key in _COMMAND_LISTS:
            commands += _shortened(_member(_member(holder, member), key))
    return commands


def _shortened(commands: Any) -> list[str]:  # noqa: ANN401  any JSON
    if not isinstance(commands, list):
        return []
    return [str(command)[:_MAX_COMMAND_CHARS] for command in commands[:_MAX_COMMANDS]]


def _member(holder: Any, name: str) -> Any:  # noqa: ANN401  any JSON
    """The member of a JSON object; None of any other JSON value."""
    if not isinstance(holder, dict):
        return None
    return holder.get(name)
