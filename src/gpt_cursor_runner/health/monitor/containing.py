"""Nothing a probe does reaches past its own check: not what it raises, not what
it returns.
"""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from gpt_cursor_runner.health.monitor.model import Reading, Status
from gpt_cursor_runner.health.monitor.redaction import HIDDEN, names_a_secret, redact

_log = structlog.get_logger(__name__)

_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TEXT_LENGTH = 500
# What is cut off is not looked through for secrets either.
_READ_LENGTH = 64 * 1024
_LARGEST_INTEGER = 2**63


class Unfit(Exception):
    """A reading that cannot be shown."""


def contained(read: Callable[[], object], name: str, logged: bool = False) -> Reading:
    """The reading, or one that says why there is none. Lets nothing out,
    whatever `read` does.

    `logged` when the run before raised too: one traceback is enough for one
    trouble.
    """
    try:
        return fit(read())
    except Unfit as unfit:
        return Reading(Status.UNKNOWN, "unfit", str(unfit))
    except BaseException as raised:  # noqa: BLE001  a probe that exits or runs out of memory must not end the others
        if not logged:
            _log.warning("health_check_raised", check=name, exc_info=True)
        return Reading(Status.UNKNOWN, "raised", _words(raised))


def fit(found: object) -> Reading:
    """A copy of a reading that is small, plain JSON, without secrets and shared
    with nobody.

    Raises Unfit when there can be none.
    """
    if type(found) is not Reading:
        raise Unfit(f"the check returned {type(found).__name__}, not a Reading")
    if (
        type(found.status) is not Status
        or type(found.code) is not str
        or not _CODE.fullmatch(found.code)
    ):
        raise Unfit("the check returned a status or a code that is none")
    if (
        type(found.message) is not str
        or type(found.remedy) is not str
        or type(found.fact) is not bool
    ):
        raise Unfit("the check returned a message, remedy or fact of a wrong type")
    if not isinstance(found.data, Mapping):
        raise Unfit("the check returned data that are no mapping")
    data = _Budget().mapping(found.data)
    return replace(found, message=_shown(found.message), remedy=_shown(found.remedy), data=data)


def _words(raised: BaseException) -> str:
    """What it says; only its type's name when it cannot even say that."""
    try:
        return _shown("".join(traceback.format_exception_only(raised)).strip())
    except BaseException:  # noqa: BLE001  out of memory or stack once more, or an exception that fails to print
        return type(raised).__name__


def _shown(text: str) -> str:
    return redact(text[:_READ_LENGTH])[:_TEXT_LENGTH]


@dataclass
class _Budget:
    """How much one reading may carry. A cycle runs out of depth."""

    items: int = 500
    characters: int = 8000
    depth: int = 20

    def mapping(self, value: Mapping[Any, object], depth: int = 0) -> dict[str, object]:
        return {self._key(key): self._plain(one, key, depth + 1) for key, one in value.items()}

    def _plain(self, value: object, key: str, depth: int) -> object:
        self.items -= 1
        self.characters -= len(value) if type(value) is str else 0
        if self.items < 0 or self.characters < 0 or depth > self.depth:
            raise Unfit("the check returned more data than can be shown")
        if isinstance(value, Mapping):
            return self.mapping(value, depth)
        if isinstance(value, list | tuple):
            return [self._plain(one, key, depth + 1) for one in value]
        if type(value) is str:
            return HIDDEN if names_a_secret(key) else redact(value)
        return _scalar(value)

    def _key(self, key: object) -> str:
        if type(key) is not str:
            raise Unfit("the check returned data with a key that is no text")
        self.characters -= len(key)
        return key


def _scalar(value: object) -> object:
    shown = (
        value is None
        or type(value) is bool
        or (type(value) is int and abs(value) < _LARGEST_INTEGER)
        or (type(value) is float and math.isfinite(value))
    )
    if not shown:
        raise Unfit(f"the check returned a {type(value).__name__} that JSON cannot carry")
    return value
