"""One worker: input after input, until its time is over. The parent watches how
long it stays with one.
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
class Found:
    """A promise broken by input `number`; `where` tells two of a kind from two
    kinds.
    """

    number: int
    origin: str
    where: str
    what: str


@dataclass(frozen=True)
class Done:
    number: int
    origin: str
    size: int
    checked: Checked


def input_of(seed: int, number: int, starts: Sequence[Input]) -> Input:
    """The input with this number; the same for the same seed, whoever asks."""
    random = Random(f"{seed} {number}")
    if number % 150 == 149:
        return large(random)
    if random.random() < 0.08:
        return soup(random)
    start = rendered(random) if random.random() < 0.5 else random.choice(starts)
    return start if random.random() < 0.2 else mutated(random, start, random.choice(starts))


def starts_of(seed: int) -> list[Input]:
    return seeds(Random(f"{seed} starts"))


def work(
    seed: int, first: int, step: int, until: float, tell: Callable[[Found | Done | int], None]
) -> None:
    """Check inputs `first`, `first + step`, … until that time; tell each number
    before, and what came of it.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    starts, number = starts_of(seed), first
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while time.time() < until:
        given = input_of(seed, number, starts)
        tell(number)
        tell(checked(number, given))
        number += step


def checked(number: int, given: Input) -> Found | Done:
    try:
        return Done(number, given.origin, given.size, check(given))
    except Exception as broken:  # noqa: BLE001  whatever escapes is what is looked for
        frames = traceback.extract_tb(broken.__traceback__)
        where = next(
            (frame for frame in reversed(frames) if "gpt_cursor_runner" in frame.filename),
            frames[-1],
        )
        place = f"{where.filename.rpartition('/')[2]}:{where.lineno}"
        kind = (
            str(broken).split(":")[0]
            if type(broken).__name__ == "Broken"
            else type(broken).__name__
        )
        return Found(
            number,
            given.origin,
            f"{kind} at {place}",
            "".join(traceback.format_exception(broken)[-12:]),
        )
