"""Bodies in other shapes lifted to today's patch, before validation.

Three historical ones are known: `{id, role, target_file, patch: {pattern,
replacement}}`, `{…, patch: {mutations: […]}}` and `{blockId | id, mutations:
[…]}`. A body may also be one bare change beside its id and title, and each
change a call of an editor tool (tool_calls.py). A fault still points into the
body as it was sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gpt_cursor_runner.patch.tool_calls import LiftedChange, is_call, lift_call

_CARRIED = (
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
_COMMAND_HOMES = (
    ("validate", "shell"),
    ("postMutationBuild", "shell"),
    ("final", "shell"),
    ("validate", "commands"),
)
_OPERATIONS = {
    None: "upsert",
    "upsert": "upsert",
    "write": "upsert",
    "create": "upsert",
    "delete": "delete",
    "chmod": "chmod",
}


@dataclass(frozen=True)
class Lifted:
    """A body in today's shape, and where each of its parts stood in the body
    that was sent.
    """

    body: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def pointer(self, pointer: str) -> str:
        """Translate a pointer into `body` to one into what the sender wrote;
        the longest known prefix wins.
        """
        prefix = pointer
        while prefix and prefix not in self.origins:
            prefix = prefix.rpartition("/")[0]
        return self.origins[prefix] + pointer[len(prefix) :] if prefix else pointer


def lift(raw: dict[str, Any]) -> Lifted:
    """Return `raw` in today's shape; a body that is in no other shape known
    comes back as it is.
    """
    if "changes" in raw:
        return _lift_calls(raw)
    patch = raw.get("patch")
    if isinstance(patch, dict) and isinstance(patch.get("mutations"), list):
        return _lift_mutations(raw, patch["mutations"], "/patch/mutations")
    if isinstance(raw.get("mutations"), list):
        return _lift_mutations(raw, raw["mutations"], "/mutations")
    if isinstance(patch, dict) and ("target_file" in raw or "pattern" in patch):
        return _lift_pattern(raw, patch)
    return _lift_single(raw) if is_call(raw) else Lifted(raw)


def _lift_calls(raw: dict[str, Any]) -> Lifted:
    changes = raw["changes"]
    if not isinstance(changes, list):
        return Lifted(raw)
    lifted = [lift_call(one) for one in changes]
    origins: dict[str, str] = {}
    for index, one in enumerate(lifted):
        origins |= _origins(one, index, f"/changes/{index}")
    return Lifted(raw | {"changes": [one.change for one in lifted]}, origins)


def _lift_single(raw: dict[str, Any]) -> Lifted:
    mine = {"id", *_CARRIED}
    if raw.get("mode") not in ("apply", "preview"):
        mine.discard("mode")  # it is the change's own
    one = lift_call({key: value for key, value in raw.items() if key not in mine})
    body = {key: value for key, value in raw.items() if key in mine} | {"changes": [one.change]}
    return Lifted(body, {"/changes": "", "/changes/0": ""} | _origins(one, 0, ""))


def _origins(one: LiftedChange, index: int, home: str) -> dict[str, str]:
    at = f"/changes/{index}"
    return {
        f"{at}/{ours}" if ours else at: f"{home}/{theirs}"
        for ours, theirs in one.names.items()
        if ours != theirs
    }


def _lift_pattern(raw: dict[str, Any], patch: dict[str, Any]) -> Lifted:
    change: dict[str, Any] = {"type": "regex"}
    if "target_file" in raw:
        change["path"] = raw["target_file"]
    change |= {
        key: patch[key]
        for key in ("pattern", "replacement", "flags", "expect_matches")
        if key in patch
    }
    origins = {"/changes": "/patch", "/changes/0": "/patch", "/changes/0/path": "/target_file"}
    return _finish(raw, [change], origins)


def _lift_mutations(raw: dict[str, Any], mutations: list[Any], home: str) -> Lifted:
    changes = [_mutation(one) for one in mutations]
    origins = {"/changes": home}
    for index in range(len(mutations)):
        origins[f"/changes/{index}/type"] = f"{home}/{index}/op"
    return _finish(raw, changes, origins)


def _mutation(one: Any) -> Any:  # noqa: ANN401  whatever JSON held; validation judges it later
    if not isinstance(one, dict):
        return one
    operation = one.get("op")
    known = operation is None or (isinstance(operation, str) and operation in _OPERATIONS)
    kind = _OPERATIONS[operation] if known else operation
    return {"type": kind} | {key: value for key, value in one.items() if key != "op"}


def _finish(raw: dict[str, Any], changes: list[Any], origins: dict[str, str]) -> Lifted:
    body: dict[str, Any] = {key: raw[key] for key in _CARRIED if key in raw}
    if "id" in raw:
        body["id"] = raw["id"]
    elif "blockId" in raw:
        body["id"] = raw["blockId"]
        origins["/id"] = "/blockId"
    if "title" not in body:
        # The historical shapes had no title; the first line of what they did
        # say becomes the commit's.
        said = next(
            (
                raw[key]
                for key in ("description", "role")
                if isinstance(raw.get(key), str) and raw[key].strip()
            ),
            None,
        )
        body["title"] = said.strip().splitlines()[0][:300] if said else "historical patch"
    body["changes"] = changes
    commands = _commands(raw)
    if commands:
        body["claimed_commands"] = commands
    known = {
        *_CARRIED,
        "id",
        "blockId",
        "target_file",
        "patch",
        "mutations",
        "version",
        *(home for home, _ in _COMMAND_HOMES),
    }
    ignored = sorted(set(raw) - known)
    warnings = [
        f"the member '{name}' of this historical shape has no meaning here and was ignored"
        for name in ignored
    ]
    if commands:
        warnings.append(
            "commands inside a patch are recorded and shown, never run; the owner's checks run"
            " instead"
        )
    return Lifted(body, origins, tuple(warnings))


def _commands(raw: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for outer in (raw, raw.get("patch")):
        if not isinstance(outer, dict):
            continue
        for home, key in _COMMAND_HOMES:
            inner = outer.get(home)
            listed = inner.get(key) if isinstance(inner, dict) else None
            if isinstance(listed, list):
                found += [str(command)[:1000] for command in listed[:50]]
    return found
