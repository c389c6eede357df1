"""Keeps the failure of a probe within its own check: everything it raises or
returns becomes a reading that is small, plain JSON and without secrets.
"""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from gpt_cursor_runner.health.monitor.codes import COMMON_CODES
from gpt_cursor_runner.health.monitor.model import CheckStatus, Reading
from gpt_cursor_runner.health.monitor.redaction import HIDDEN, names_a_secret, redact

_log = structlog.get_logger(__name__)

_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TEXT_LENGTH = 500
# Only this much of a text is searched for secrets; the rest is never shown.
_SEARCHED_LENGTH = 64 * 1024
# Readers of JSON keep integers in 64 bits.
_LARGEST_INTEGER = 2**63


class InvalidReading(Exception):
    """A probe returned something that cannot be shown."""


def read_safely(read: Callable[[], object], name: str, already_logged: bool = False) -> Reading:
    """The sanitized reading, or an unknown one with the reason. Never raises.

    With `already_logged` the traceback is not logged: the previous run raised
    too.
    """
    try:
        return sanitize(read())
    except InvalidReading as invalid:
        return COMMON_CODES.reading("unfit", str(invalid))
    except BaseException as error:  # noqa: BLE001  a probe that exits or runs out of memory must not end the others
        if not already_logged:
            _log.warning("health_check_raised", check=name, exc_info=True)
        return COMMON_CODES.reading("raised", _describe(error))


def sanitize(reading: object) -> Reading:
    """A deep copy of a reading, limited in size and with secrets replaced.

    Raises InvalidReading for a value of a wrong type or too much data.
    """
    # Exact types: a subclass could run its own code in every reader.
    if type(reading) is not Reading:
        raise InvalidReading(f"the check returned {type(reading).__name__}, not a Reading")
    if not _has_valid_code(reading):
        raise InvalidReading("the check returned an invalid status or code")
    if not _has_valid_texts(reading):
        raise InvalidReading("the check returned a message, remedy or fact of a wrong type")
    if not isinstance(reading.data, Mapping):
        raise InvalidReading("the check returned data that is no mapping")
    return replace(
        reading,
        message=_shortened(reading.message),
        remedy=_shortened(reading.remedy),
        data=_SizeBudget().copy_mapping(reading.data),
    )


def _has_valid_code(reading: Reading) -> bool:
    if type(reading.status) is not CheckStatus or type(reading.code) is not str:
        return False
    return _CODE.fullmatch(reading.code) is not None


def _has_valid_texts(reading: Reading) -> bool:
    texts_are_valid = type(reading.message) is str and type(reading.remedy) is str
    return texts_are_valid and type(reading.fact) is bool


def _describe(error: BaseException) -> str:
    try:
        return _shortened("".join(traceback.format_exception_only(error)).strip())
    except BaseException:  # noqa: BLE001  out of memory or stack again, or an exception whose __str__ raises
        return type(error).__name__


def _shortened(text: str) -> str:
    return redact(text[:_SEARCHED_LENGTH])[:_TEXT_LENGTH]


@dataclass
class _SizeBudget:
    """How much data one reading may carry. A cycle exceeds the depth."""

    items: int = 500
    characters: int = 8000
    depth: int = 20

    def copy_mapping(self, mapping: Mapping[Any, object], depth: int = 0) -> dict[str, object]:
        copy: dict[str, object] = {}
        for key, value in mapping.items():
            if type(key) is not str:
                raise InvalidReading("the check returned data with a key that is no text")
            self.characters -= len(key)
            copy[key] = self._copy_value(value, key, depth + 1)
        return copy

    def _copy_value(self, value: object, key: str, depth: int) -> object:
        self._spend(value, depth)
        if isinstance(value, Mapping):
            return self.copy_mapping(value, depth)
        if isinstance(value, list | tuple):
            return [self._copy_value(item, key, depth + 1) for item in value]
        if type(value) is not str:
            return _checked_scalar(value)
        if names_a_secret(key):
            return HIDDEN
        return redact(value)

    def _spend(self, value: object, depth: int) -> None:
        self.items -= 1
        if type(value) is str:
            self.characters -= len(value)
        if self.items < 0 or self.characters < 0 or depth > self.depth:
            raise InvalidReading("the check returned more data than can be shown")


def _checked_scalar(value: object) -> object:
    if value is None or type(value) is bool or _is_json_number(value):
        return value
    raise InvalidReading(f"the check returned a {type(value).__name__} that JSON cannot carry")


def _is_json_number(value: object) -> bool:
    if type(value) is int:
        return abs(value) < _LARGEST_INTEGER
    # JSON has no NaN and no infinity.
    return type(value) is float and math.isfinite(value)
