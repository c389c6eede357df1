"""Parses a JSON body as a patch, or reports every fault in it at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from gpt_cursor_runner.patch.faults import Fault, Refused
from gpt_cursor_runner.patch.lifting import Lifted, lift
from gpt_cursor_runner.patch.model import ONE_CHANGE, Change, Patch

CHANGE_MODELS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(Change)[0])
}
_MAX_MESSAGE_CHARS = 300

# Code, message and next step for each type of pydantic error.
_WORDINGS = {
    "missing": ("missing", "'{name}' is missing", "Add '{name}'."),
    "extra_forbidden": (
        "unknown_member",
        "'{name}' is not a member here",
        "Remove '{name}', or check its spelling.",
    ),
    "union_tag_invalid": (
        "unknown_type",
        "'{tag}' is not a type of change",
        "Use one of: {types}.",
    ),
    "union_tag_not_found": (
        "missing",
        "the change has no 'type'",
        "Add 'type', one of: {types}.",
    ),
    "path_escape": ("path_escape", "{message}", "{next_step}"),
}
_WRONG_TYPE = (
    "wrong_type",
    "'{name}' has the wrong type: {lower_message}",
    "Send '{name}' in the type named here.",
)
_OTHER_WORDING = ("{kind}", "'{name}': {message}", "Correct the value as the message says.")


class Unreadable(Refused):
    """The body is not one JSON object."""


@dataclass(frozen=True)
class Parsed:
    """`patch` is None when there are faults. `sound` are the valid changes with
    their indexes, also when others have faults.
    """

    patch: Patch | None
    faults: tuple[Fault, ...]
    sound: tuple[tuple[int, Change], ...]
    lifted: Lifted


def read_json(body: bytes) -> dict[str, Any]:
    """Read one JSON object. Raises Unreadable for anything else, for a name
    that occurs twice in an object, and for nesting without bound.
    """
    try:
        # jiter bounds the depth and rejects NaN and lone surrogates, which the
        # second reader does not.
        value = from_json(body, allow_inf_nan=False)
        json.loads(body.decode(), object_pairs_hook=_refuse_duplicates)
    except _DuplicateName as error:
        message = f"the name '{error.name}' occurs twice in one object"
        raise _unreadable("duplicate_name", message) from None
    except (ValueError, RecursionError) as error:
        raise _unreadable("malformed_json", f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise _unreadable("not_an_object", f"the body is a JSON {kind}, not an object")
    return value


def parse_patch(raw: dict[str, Any]) -> Parsed:
    """Validate a JSON object as a patch, in today's shape or another one that
    `lifting` supports.
    """
    lifted = lift(raw)
    try:
        # From JSON text, because pydantic's strict mode accepts a list for a
        # tuple only there.
        patch = Patch.model_validate_json(json.dumps(lifted.body))
    except ValidationError as invalid:
        faults = tuple(_fault(error, lifted) for error in _errors(invalid))
        return Parsed(None, faults, tuple(_sound_changes(lifted.body)), lifted)
    return Parsed(patch, (), tuple(enumerate(patch.changes)), lifted)


def _errors(invalid: ValidationError) -> list[ErrorDetails]:
    errors = invalid.errors(include_url=False)
    if not any(_is_in_change(error["loc"]) for error in errors):
        return errors
    # pydantic counts the valid changes only, so that it also reports "too
    # short" when the only change has a fault of its own.
    return [error for error in errors if not _is_too_few_changes(error)]


def _is_in_change(location: Sequence[int | str]) -> bool:
    return len(location) > 1 and location[0] == "changes"


def _is_too_few_changes(error: ErrorDetails) -> bool:
    return error["loc"] == ("changes",) and error["type"] == "too_short"


def _sound_changes(body: dict[str, Any]) -> Iterator[tuple[int, Change]]:
    changes = body.get("changes")
    if not isinstance(changes, list):
        return
    for index, change in enumerate(changes):
        try:
            yield index, ONE_CHANGE.validate_json(json.dumps(change))
        except ValidationError:
            continue


def _fault(error: ErrorDetails, lifted: Lifted) -> Fault:
    location = _location(error)
    pointer = lifted.pointer("".join(f"/{_escape(part)}" for part in location))
    code, message, next_step = _describe(error, _last_name(pointer))
    return Fault(code, message, next_step, pointer, change=_change_index(location))


def _location(error: ErrorDetails) -> list[str]:
    """The path of names from the body to the member with the error."""
    location = [str(part) for part in error["loc"]]
    # pydantic adds the name of the union's member after the index of a change;
    # the sender's body has no such level.
    if _is_in_change(location) and len(location) > 2 and location[2] in CHANGE_MODELS:
        del location[2]
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        location.append("type")
    return location


def _change_index(location: list[str]) -> int | None:
    if _is_in_change(location) and location[1].isdigit():
        return int(location[1])
    return None


def _escape(name: str) -> str:
    """A name as part of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def _last_name(pointer: str) -> str:
    name = pointer.rpartition("/")[2]
    return name.replace("~1", "/").replace("~0", "~") or "the body"


def _describe(error: ErrorDetails, name: str) -> tuple[str, str, str]:
    """Code, message and next step for one pydantic error. The value that was
    sent is not repeated.
    """
    values = {
        "tag": "",
        **error.get("ctx", {}),
        "name": name,
        "kind": error["type"],
        "message": error["msg"],
        "lower_message": error["msg"].lower(),
        "types": ", ".join(CHANGE_MODELS),
    }
    code, message, next_step = _wording(error["type"])
    return code.format_map(values), message.format_map(values), next_step.format_map(values)


def _wording(kind: str) -> tuple[str, str, str]:
    if kind.endswith("_type"):
        return _WRONG_TYPE
    return _WORDINGS.get(kind, _OTHER_WORDING)


def _unreadable(code: str, message: str) -> Unreadable:
    cut = message[:_MAX_MESSAGE_CHARS]
    return Unreadable(Fault(code, cut, "Send one JSON object, each name once."))


class _DuplicateName(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise _DuplicateName(name)
        members[name] = value
    return members
