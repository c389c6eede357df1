"""Historical bodies lifted to today's patch, before validation.

Three shapes are known: `{id, role, target_file, patch: {pattern, replacement}}`, `{…, patch: {mutations: […]}}` and
`{blockId | id, mutations: […]}`. A fault found later still points into the body as it was sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_CARRIED = ("title", "repository", "base", "description", "role", "priority", "mode", "tolerance", "expect_plan")
_COMMAND_HOMES = (("validate", "shell"), ("postMutationBuild", "shell"), ("final", "shell"), ("validate", "commands"))
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
    """A body in today's shape, and where each of its parts stood in the body that was sent."""

    body: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def pointer(self, pointer: str) -> str:
        """Translate a pointer into `body` to one into what the sender wrote; the longest known prefix wins."""
        for prefix in sorted(self.origins, key=len, reverse=True):
            if pointer == prefix or pointer.startswith(prefix + "/"):
                return self.origins[prefix] + pointer[len(prefix) :]
        return pointer


def lift(raw: dict[str, Any]) -> Lifted:
    """Return `raw` in today's shape; a body that is in none of the historical shapes comes back as it is."""
    if "changes" in raw:
        return Lifted(raw)
    patch = raw.get("patch")
    if isinstance(patch, dict) and isinstance(patch.get("mutations"), list):
        return _lift_mutations(raw, patch["mutations"], "/patch/mutations")
    if isinstance(raw.get("mutations"), list):
        return _lift_mutations(raw, raw["mutations"], "/mutations")
    if isinstance(patch, dict) and ("target_file" in raw or "pattern" in patch):
        return _lift_pattern(raw, patch)
    return Lifted(raw)


def _lift_pattern(raw: dict[str, Any], patch: dict[str, Any]) -> Lifted:
    change: dict[str, Any] = {"type": "regex"}
    if "target_file" in raw:
        change["path"] = raw["target_file"]
    change |= {key: patch[key] for key in ("pattern", "replacement", "flags", "expect_matches") if key in patch}
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
        # The historical shapes had no title; the first line of what they did say becomes the commit's.
        said = next(
            (raw[key] for key in ("description", "role") if isinstance(raw.get(key), str) and raw[key].strip()), None
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
    warnings = [f"the member '{name}' of this historical shape has no meaning here and was ignored" for name in ignored]
    if commands:
        warnings.append("commands inside a patch are recorded and shown, never run; the owner's checks run instead")
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
