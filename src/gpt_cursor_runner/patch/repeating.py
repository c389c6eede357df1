"""When a sender meets the same refusal again and again, mending hunks leads
nowhere: the whole file is surer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gpt_cursor_runner.patch.outcome import Fault, PatchRefused

# What a sender who cannot see the file runs into: they differ in how a hunk was
# written, not in what was wanted.
_OF_WRITING = frozenset({"no_match", "ambiguous", "malformed", "truncated"})
_OFTEN = 3

Kind = tuple[str, str]  # a code, and the path it is about, or "" where there is none


def kinds(faults: Iterable[Fault]) -> list[Kind]:
    """The kinds of fault that sending the whole file would avoid, each once."""
    return list(dict.fromkeys(_kind(fault) for fault in faults if fault.code in _OF_WRITING))


def advised(refused: PatchRefused, times: Mapping[Kind, int]) -> PatchRefused:
    """The same refusal; what was met three `times` or more, this one included,
    says to send the whole file.
    """
    faults = [_with_advice(fault, times.get(_kind(fault), 0)) for fault in refused.faults]
    told = PatchRefused(faults, refused.good, refused.code)
    told.base = refused.base
    return told


def _kind(fault: Fault) -> Kind:
    return fault.code, fault.path or ""


def _with_advice(fault: Fault, times: int) -> Fault:
    if fault.code not in _OF_WRITING or times < _OFTEN:
        return fault
    held = f" and expect_sha256 {fault.file_sha256}" if fault.file_sha256 else ""
    step = (
        f"This was refused {times} times for the same reason: send the whole file instead, as an"
        f" upsert of {fault.path or 'each file'} with its complete contents{held}. Or else:"
        f" {fault.next_step}"
    )
    return replace(fault, next_step=step)
