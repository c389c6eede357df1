"""The chain of events: it verifies, it cannot fork, and a change of any event
is detected at that event.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gpt_cursor_runner.ledger.events import GENESIS, chain_digest
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.patch.events import EventKind
from tests.building import make_admission


@pytest.fixture
def chain(ledger: Ledger) -> Ledger:
    """Six events: three patches accepted, three cancelled."""
    ledger.intake.accept([make_admission(id=name, at=100.25) for name in ("a", "b", "c")])
    for name in ("a", "b", "c"):
        ledger.decisions.cancel(name, "the sender", 101.5)
    return ledger


def change(ledger: Ledger, statement: str) -> None:
    with ledger.database.write() as connection:
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        connection.execute(text(statement))


def broken_at(ledger: Ledger) -> int | None:
    broken = ledger.first_broken_link()
    return broken.seq if broken else None


def test_an_untouched_chain_verifies(chain: Ledger) -> None:
    assert broken_at(chain) is None


def test_an_empty_chain_verifies(ledger: Ledger) -> None:
    assert broken_at(ledger) is None


@pytest.mark.parametrize(
    "assignment",
    [
        "data = replace(data, 'digest', 'digesT')",
        "actor = 'another'",
        "kind = 'landed'",
        "at = at + 0.001",
        "patch_id = 'c'",
        "digest = 'x' || substr(digest, 2)",
        "previous = 'x' || substr(previous, 2)",
    ],
)
def test_one_changed_byte_is_detected_at_its_event(chain: Ledger, assignment: str) -> None:
    change(chain, f"UPDATE events SET {assignment} WHERE seq = 2")  # noqa: S608  the cases stand above
    assert broken_at(chain) == 2


def test_a_deleted_event_is_detected_at_the_next_one(chain: Ledger) -> None:
    change(chain, "DELETE FROM events WHERE seq = 3")
    assert broken_at(chain) == 4


def test_a_deleted_first_event_is_detected(chain: Ledger) -> None:
    change(chain, "DELETE FROM events WHERE seq = 1")
    assert broken_at(chain) == 2


def test_reordered_events_are_detected(chain: Ledger) -> None:
    change(chain, "UPDATE events SET seq = -seq WHERE seq IN (4, 5)")
    change(chain, "UPDATE events SET seq = CASE seq WHEN -4 THEN 5 ELSE 4 END WHERE seq < 0")
    assert broken_at(chain) == 4


def test_an_inserted_event_is_detected(chain: Ledger) -> None:
    change(
        chain,
        "INSERT INTO events (seq, patch_id, at, kind, actor, data, previous, digest) "
        "VALUES (99, 'a', 102, 'approved', 'the owner', '{}', 'p', 'd')",
    )
    assert broken_at(chain) == 99


def test_the_chain_cannot_fork(chain: Ledger) -> None:
    with pytest.raises(IntegrityError, match=r"events\.previous"):
        change(
            chain,
            "INSERT INTO events (patch_id, at, kind, actor, data, previous, digest) "
            "SELECT patch_id, at, kind, actor, data, previous, 'other' FROM events WHERE seq = 6",
        )


def test_many_writers_make_one_chain(ledger: Ledger) -> None:
    names = [f"p{number}" for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda name: ledger.intake.accept([make_admission(id=name)]), names))
        list(pool.map(lambda name: ledger.decisions.cancel(name, "the sender", 101.0), names))
    assert broken_at(ledger) is None
    assert sum(len(ledger.queries.events(name)) for name in names) == 40


def test_the_first_event_follows_from_the_genesis_digest(chain: Ledger) -> None:
    assert chain.queries.events("a")[0].previous == GENESIS


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(data=st.dictionaries(st.text(max_size=8), plain, max_size=4))
def test_a_digest_does_not_depend_on_the_order_of_members(data: dict[str, object]) -> None:
    reordered = dict(reversed(list(data.items())))
    assert chain_digest("p", "a", 1.5, "k", "x", data) == chain_digest(
        "p", "a", 1.5, "k", "x", reordered
    )


@dataclass(frozen=True)
class AnyPayload:
    data: dict[str, Any]
    kind: EventKind = EventKind.SEALED

    def to_json(self) -> dict[str, Any]:
        return self.data


def test_the_data_of_an_event_is_read_back_as_it_was_written(ledger: Ledger) -> None:
    ledger.intake.accept([make_admission(id="a", at=0.1 + 0.2)])
    claim = ledger.leases.claim("one", 1e9 + 1 / 3)
    assert claim is not None
    data = {"ünï": ["\udc80", "\x00", 1e300, 2**53, None, {"b": 1, "a": [True]}]}
    ledger.leases.record(claim, AnyPayload(data), 1e9 + 2 / 3)
    assert ledger.queries.events("a")[-1].data == data
    assert broken_at(ledger) is None
