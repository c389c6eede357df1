"""Nothing a probe does reaches past its own check: not what it raises, not what it returns."""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from gpt_cursor_runner.health.model import Reading, Status

_log = structlog.get_logger(__name__)

_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TEXT_LENGTH = 500
_LARGEST_INTEGER = 2**63


class Unfit(Exception):
    """A reading that cannot be shown."""


def contained(read: Callable[[], object], name: str, logged: bool = False) -> Reading:
    """The reading, or one that says why there is none. Lets nothing out, whatever `read` does.

    `logged` when the run before raised too: one traceback is enough for one trouble.
    """
    try:
        return fit(read())
    except Unfit as unfit:
        return Reading(Status.UNKNOWN, "unfit", str(unfit))
    except BaseException as raised:  # noqa: BLE001  a probe that exits or runs out of memory must not end the others
        if not logged:
            _log.warning("health_check_raised", check=name, exc_info=True)
        said = "".join(traceback.format_exception_only(raised)).strip()
        return Reading(Status.UNKNOWN, "raised", said[:_TEXT_LENGTH])


def fit(found: object) -> Reading:
    """A copy of a reading that is small, plain JSON and shared with nobody; raise Unfit when it cannot be."""
    if type(found) is not Reading:
        raise Unfit(f"the check returned {type(found).__name__}, not a Reading")
    if type(found.status) is not Status or type(found.code) is not str or not _CODE.fullmatch(found.code):
        raise Unfit("the check returned a status or a code that is none")
    if type(found.message) is not str or type(found.remedy) is not str or type(found.fact) is not bool:
        raise Unfit("the check returned a message, remedy or fact of a wrong type")
    if not isinstance(found.data, Mapping):
        raise Unfit("the check returned data that are no mapping")
    data = _Budget().mapping(found.data)
    return replace(found, message=found.message[:_TEXT_LENGTH], remedy=found.remedy[:_TEXT_LENGTH], data=data)


@dataclass
class _Budget:
    """How much one reading may carry. A cycle runs out of it like any other excess."""

    items: int = 200
    characters: int = 4000

    def mapping(self, value: Mapping[Any, object]) -> dict[str, object]:
        return {self._key(key): self._plain(one) for key, one in value.items()}

    def _plain(self, value: object) -> object:
        self.items -= 1
        self.characters -= len(value) if type(value) is str else 0
        if self.items < 0 or self.characters < 0:
            raise Unfit("the check returned more data than can be shown")
        if isinstance(value, Mapping):
            return self.mapping(value)
        return [self._plain(one) for one in value] if isinstance(value, list | tuple) else _scalar(value)

    def _key(self, key: object) -> str:
        if type(key) is not str:
            raise Unfit("the check returned data with a key that is no text")
        self.characters -= len(key)
        return key


def _scalar(value: object) -> object:
    shown = (
        value is None
        or type(value) in (bool, str)
        or (type(value) is int and abs(value) < _LARGEST_INTEGER)
        or (type(value) is float and math.isfinite(value))
    )
    if not shown:
        raise Unfit(f"the check returned a {type(value).__name__} that JSON cannot carry")
    return value
