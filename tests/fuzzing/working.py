"""A worker checks one input after the other until its time is over. The parent
watches how long each takes.
"""

from __future__ import annotations

import resource
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.fuzzing.inputs import Input, rendered, seeds, soup
from tests.fuzzing.large import large
from tests.fuzzing.mutating import mutated
from tests.fuzzing.properties import Checked, check

_MOST_MEMORY = 4_000_000_000  # beyond it an allocation fails, instead of the machine


@dataclass(frozen=True)
class Finding:
    """A promise broken by input `number`; findings with the same `where` are of
    one kind.
    """

    number: int
    origin: str
    where: str
    report: str


@dataclass(frozen=True)
class Done:
    number: int
    origin: str
    size: int
    checked: Checked


def input_of(seed: int, number: int, starts: Sequence[Input]) -> Input:
    """The input with this number; the same seed gives the same input."""
    random = Random(f"{seed} {number}")
    if number % 150 == 149:
        return large(random)
    if random.random() < 0.08:
        return soup(random)
    if random.random() < 0.5:
        start = rendered(random)
    else:
        start = random.choice(starts)
    if random.random() < 0.2:
        return start
    return mutated(random, start, random.choice(starts))


def starts_of(seed: int) -> list[Input]:
    return seeds(Random(f"{seed} starts"))


def work(
    seed: int, first: int, step: int, until: float, send: Callable[[Finding | Done | int], None]
) -> None:
    """Check inputs `first`, `first + step`, … until that time; send each number
    before its check, and the result after it.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    starts, number = starts_of(seed), first
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while time.time() < until:
        given = input_of(seed, number, starts)
        send(number)
        send(checked(number, given))
        number += step


def checked(number: int, given: Input) -> Finding | Done:
    try:
        return Done(number, given.origin, given.size, check(given))
    except Exception as broken:  # noqa: BLE001  any escaped exception is a finding
        frames = traceback.extract_tb(broken.__traceback__)
        where = next(
            (frame for frame in reversed(frames) if "gpt_cursor_runner" in frame.filename),
            frames[-1],
        )
        place = f"{where.filename.rpartition('/')[2]}:{where.lineno}"
        kind = type(broken).__name__
        if kind == "Broken":
            kind = str(broken).split(":")[0]
        return Finding(
            number,
            given.origin,
            f"{kind} at {place}",
            "".join(traceback.format_exception(broken)[-12:]),
        )
