"""A JSON body becomes a Patch, or every fault in it is named at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from gpt_cursor_runner.patch.lifting import Lifted, lift
from gpt_cursor_runner.patch.model import ONE_CHANGE, Change, Patch
from gpt_cursor_runner.patch.outcome import Fault

CHANGE_MODELS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(Change)[0])
}


class Unreadable(Exception):
    """The body is not one JSON object; `fault` says where reading stopped."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(frozen=True)
class Parsed:
    """`patch` is None when there are faults; `sound` are the changes that are
    well formed all the same.
    """

    patch: Patch | None
    faults: tuple[Fault, ...]
    sound: tuple[tuple[int, Change], ...]
    lifted: Lifted


def read_json(body: bytes) -> dict[str, Any]:
    """Read one JSON object; raise Unreadable for anything else, duplicate names
    and bottomless nesting included.
    """
    try:
        # jiter bounds the depth and refuses NaN and lone surrogates, so the
        # second reader below is safe from them.
        value = from_json(body, allow_inf_nan=False)
        json.loads(body.decode(), object_pairs_hook=_refuse_duplicates)
    except _DuplicateName as twice:
        raise Unreadable(
            _unreadable("duplicate_name", f"the name '{twice.name}' stands twice in one object", "")
        ) from None
    except (ValueError, RecursionError) as bad:
        raise Unreadable(_unreadable("malformed_json", f"the body is not JSON: {bad}", "")) from bad
    if not isinstance(value, dict):
        raise Unreadable(
            _unreadable(
                "not_an_object", f"the body is a JSON {type(value).__name__}, not an object", ""
            )
        )
    return value


def parse_patch(raw: dict[str, Any]) -> Parsed:
    """Validate a JSON object as a patch, today's shape or a historical one."""
    lifted = lift(raw)
    try:
        patch = Patch.model_validate_json(json.dumps(lifted.body))
        return Parsed(patch, (), tuple(enumerate(patch.changes)), lifted)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False)
        if any(len(error["loc"]) > 1 and error["loc"][0] == "changes" for error in errors):
            # pydantic counts the sound changes only: with one that is not, "too
            # short" would be a second, false fault.
            errors = [
                error
                for error in errors
                if not (error["loc"] == ("changes",) and error["type"] == "too_short")
            ]
        faults = tuple(_fault(error, lifted) for error in errors)
        return Parsed(None, faults, tuple(_sound_changes(lifted.body)), lifted)


def _sound_changes(body: dict[str, Any]) -> Iterator[tuple[int, Change]]:
    changes = body.get("changes")
    for index, change in enumerate(changes if isinstance(changes, list) else []):
        try:
            yield index, ONE_CHANGE.validate_json(json.dumps(change))
        except ValidationError:
            continue


def _fault(error: ErrorDetails, lifted: Lifted) -> Fault:
    where = [str(part) for part in error["loc"]]
    if len(where) > 2 and where[0] == "changes" and where[2] in CHANGE_MODELS:
        del where[2]  # pydantic names the member of the union; the sender's body has no such level
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        where.append("type")
    pointer = lifted.pointer(
        "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in where)
    )
    change = (
        int(where[1]) if len(where) > 1 and where[0] == "changes" and where[1].isdigit() else None
    )
    name = pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~") or "the body"
    code, message, hint = _words(error, name)
    return Fault(code=code, message=message, next_step=hint, pointer=pointer, change=change)


def _words(error: ErrorDetails, name: str) -> tuple[str, str, str]:
    """Code, message and hint for one pydantic error; what was sent is not
    echoed.
    """
    kind = error["type"]
    context = error.get("ctx", {})
    if kind == "missing":
        return "missing", f"'{name}' is missing", f"Add '{name}'."
    if kind == "extra_forbidden":
        return (
            "unknown_member",
            f"'{name}' is not a member here",
            f"Remove '{name}', or check its spelling.",
        )
    if kind == "union_tag_invalid":
        return (
            "unknown_type",
            f"'{context.get('tag', '')}' is no type of change",
            f"Use one of: {', '.join(CHANGE_MODELS)}.",
        )
    if kind == "union_tag_not_found":
        return (
            "missing",
            "the change has no 'type'",
            f"Add 'type', one of: {', '.join(CHANGE_MODELS)}.",
        )
    if kind == "path_escape":
        return "path_escape", error["msg"], "Name a file inside the repository, like src/app.py."
    if kind.endswith("_type"):
        return (
            "wrong_type",
            f"'{name}' has the wrong type: {error['msg'].lower()}",
            f"Send '{name}' in the type named here.",
        )
    return kind, f"'{name}': {error['msg']}", "Correct the value as the message says."


def _unreadable(code: str, message: str, pointer: str) -> Fault:
    return Fault(
        code=code,
        message=message[:300],
        next_step="Send one JSON object, each name once.",
        pointer=pointer,
    )


class _DuplicateName(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise _DuplicateName(name)
        seen[name] = value
    return seen
