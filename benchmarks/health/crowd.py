"""A hundred pollers, each about once a second; every answer is read, compared
with the truth and counted.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.health.clients import get
from benchmarks.health.truth import Stage, malformed

_LATE_SECONDS = 2.0
_EXAMPLES = 20


@dataclass
class UptimeTally:
    """The answers so far. The pollers' thread writes them; they are read at the
    end.
    """

    answers: int = 0
    words: Counter[str] = field(default_factory=Counter)
    milliseconds: Counter[int] = field(default_factory=Counter)
    instances: set[str] = field(default_factory=set)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def note_wrong(self, kind: str, example: str) -> None:
        self.wrong[kind] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{kind}: {example}")

    def percentile_ms(self, share: float) -> int:
        due = share * sum(self.milliseconds.values())
        for milliseconds, count in sorted(self.milliseconds.items()):
            due -= count
            if due <= 0:
                return milliseconds
        return 0


class Crowd:
    """Polls from `start` to `stop` on its own thread; the answers are compared
    with `stage`.
    """

    def __init__(self, port: int, pollers: int, dice: random.Random) -> None:
        self.stage = Stage()
        self.tally = UptimeTally()
        self._port = port
        self._offsets = [dice.random() for _ in range(pollers)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._poll_all()), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    async def _poll_all(self) -> None:
        await asyncio.gather(*map(self._poll, self._offsets))

    async def _poll(self, offset: float) -> None:
        await asyncio.sleep(offset)
        while not self._over.is_set():
            await self._poll_once()
            await asyncio.sleep(1)

    async def _poll_once(self) -> None:
        asked_at, before = time.monotonic(), self.stage
        try:
            status, raw = await asyncio.wait_for(get(self._port, "/health"), _LATE_SECONDS)
            body = json.loads(raw)
        except (OSError, ValueError, IndexError, TimeoutError) as failed:
            self.tally.note_wrong(
                "no answer", f"{type(failed).__name__} {failed} {_describe(before, asked_at)}"
            )
            return
        now = time.monotonic()
        tally = self.tally
        tally.answers += 1
        tally.milliseconds[round(1000 * (now - asked_at))] += 1
        trouble = malformed(status, raw, body)
        if trouble:
            tally.note_wrong("malformed", trouble)
            return
        word = body["overall_status"]
        tally.words[word] += 1
        tally.instances.add(body["instance_id"])
        # A status that was true at any moment of the exchange is correct.
        if not (before.allows(word, asked_at) or self.stage.allows(word, now)):
            tally.note_wrong(
                "untrue", f"{word} ({', '.join(body['reasons'])}) {_describe(self.stage, now)}"
            )


def _describe(stage: Stage, now: float) -> str:
    if stage.trouble is None:
        return "while nothing was wrong"
    if stage.ended_at is not None:
        return f"{now - stage.ended_at:.1f} s after {stage.trouble.name} ended"
    return f"{now - stage.began_at:.1f} s into {stage.trouble.name}"
