"""One line of `gcr doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Result = Literal["PASS", "WARN", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One precondition: the fact that was observed, why it matters, and the
    command that mends it.
    """

    id: str
    result: Result
    fact: str
    why: str
    next_command: str = ""

    @classmethod
    def of(
        cls,
        id: str,  # noqa: A002  the field's name, a member of the JSON answer
        fact: str,
        why: str,
        mend: str = "",
        otherwise: Result = "FAIL",
    ) -> Finding:
        """A passed finding, or one with result `otherwise` when there is
        something to mend.
        """
        if mend:
            return cls(id, otherwise, fact, why, mend)
        return cls(id, "PASS", fact, why)
