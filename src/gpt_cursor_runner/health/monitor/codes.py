"""The codes of readings, each with the properties that all its readings share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpt_cursor_runner.health.monitor.model import CheckStatus, Reading


@dataclass(frozen=True)
class Code:
    """`remedy` advises the owner. A `fact` counts at once, without damping."""

    status: CheckStatus
    remedy: str = ""
    fact: bool = False


class CodeTable:
    """The codes of one probe. `docs/health.md` lists each of them; a test
    compares the two.
    """

    def __init__(self, **codes: Code) -> None:
        self._codes = codes

    def __getitem__(self, code: str) -> Code:
        return self._codes[code]

    def __contains__(self, code: object) -> bool:
        return code in self._codes

    def items(self) -> Iterable[tuple[str, Code]]:
        return self._codes.items()

    def reading(
        self, code: str, message: str = "", data: Mapping[str, Any] | None = None
    ) -> Reading:
        """A reading with the properties of this code; raises KeyError for a code
        that is not in the table.
        """
        properties = self[code]
        return Reading(
            properties.status, code, message, data or {}, properties.remedy, properties.fact
        )

    def recode(self, reading: Reading, code: str) -> Reading:
        """The same message, data and remedy under another code."""
        properties = self[code]
        return replace(reading, status=properties.status, code=code, fact=properties.fact)


# Codes that the monitor itself gives to any check.
COMMON_CODES = CodeTable(
    starting=Code(CheckStatus.UNKNOWN, fact=True),
    late=Code(CheckStatus.UNKNOWN, fact=True),
    stale=Code(CheckStatus.UNKNOWN),
    flapping=Code(CheckStatus.WARN),
    raised=Code(CheckStatus.UNKNOWN),
    unfit=Code(CheckStatus.UNKNOWN),
)
