"""Flips, incidents and alerts are written together or not at all, also by two
processes at once.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from gpt_cursor_runner.ledger.alerts import HistoryBatch, IncidentNotOpen
from gpt_cursor_runner.ledger.database import open_database
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.schema import flips, incidents, outbox
from tests.building import make_ledger
from tests.ledger.health_builders import NOW, make_alert, make_flip, make_incident, trouble

ROOT = Path(__file__).parent.parent.parent


def test_a_batch_is_read_back_as_it_was_recorded(ledger: Ledger) -> None:
    ledger.alerts.record(trouble())
    assert ledger.alerts.open_incidents() == [make_incident()]
    assert ledger.alerts.flips() == [make_flip(incident_id="i1", seq=1)]
    assert ledger.alerts.next_due("ops", NOW) == make_alert("i1-ops", seq=1)


def test_an_empty_batch_writes_nothing_and_takes_no_lock(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path, busy_seconds=0.1)
    other = open_database(tmp_path, 1)
    with other.write():
        ledger.alerts.record(HistoryBatch())
        with pytest.raises(OperationalError, match="locked"):
            ledger.alerts.record(trouble())
    assert ledger.alerts.flips() == []
    other.close()
    ledger.close()


def test_a_batch_that_opens_a_second_incident_of_a_subject_is_rejected_entirely(
    ledger: Ledger,
) -> None:
    ledger.alerts.record(trouble("i1"))
    with pytest.raises(IntegrityError, match=r"incidents\.subject"):
        ledger.alerts.record(trouble("i2"))
    assert [incident.id for incident in ledger.alerts.open_incidents()] == ["i1"]
    assert len(ledger.alerts.flips()) == ledger.alerts.pending_count() == 1


def test_one_batch_may_close_an_incident_and_open_the_next_of_its_subject(ledger: Ledger) -> None:
    ledger.alerts.record(trouble("i1"))
    ledger.alerts.record(
        HistoryBatch(opened=(make_incident("i2"),), closed=("i1",), closed_at=NOW + 5)
    )
    assert [incident.id for incident in ledger.alerts.open_incidents()] == ["i2"]


@pytest.mark.parametrize(
    "batch",
    [
        HistoryBatch(flips=(make_flip("web"),), closed=("gone",), closed_at=NOW),
        HistoryBatch(flips=(make_flip("web"),), reminded={"gone": NOW}),
        HistoryBatch(flips=(make_flip("web"),), muted={"gone": "tunnel"}),
        HistoryBatch(flips=(make_flip("web"),), escalated={"gone": "critical"}),
    ],
)
def test_a_batch_that_changes_an_incident_that_is_not_open_is_rejected_entirely(
    ledger: Ledger, batch: HistoryBatch
) -> None:
    ledger.alerts.record(trouble("gone"))
    ledger.alerts.record(HistoryBatch(closed=("gone",), closed_at=NOW))
    with pytest.raises(IncidentNotOpen, match="gone"):
        ledger.alerts.record(batch)
    assert len(ledger.alerts.flips()) == 1


def test_an_open_incident_is_muted_reminded_of_and_made_more_severe(ledger: Ledger) -> None:
    ledger.alerts.record(HistoryBatch(opened=(make_incident(severity="warning"),)))
    ledger.alerts.record(
        HistoryBatch(muted={"i1": "tunnel"}, reminded={"i1": NOW + 9}, escalated={"i1": "critical"})
    )
    [incident] = ledger.alerts.open_incidents()
    assert incident.muted_by == "tunnel"
    assert (incident.reminded_at, incident.severity) == (NOW + 9, "critical")
    ledger.alerts.record(HistoryBatch(muted={"i1": None}))
    assert ledger.alerts.open_incidents()[0].muted_by is None


def test_muting_deletes_the_triggers_that_no_sink_was_given_and_no_others(ledger: Ledger) -> None:
    ledger.alerts.record(trouble("i1", sinks=("unsent", "begun", "failed", "sent")))
    ledger.alerts.record(trouble("i2", "web", sinks=("unsent",)))
    ledger.alerts.record(HistoryBatch(alerts=(make_alert("note", kind="flapping"),)))
    for sink in ("begun", "failed", "sent"):
        alert = ledger.alerts.next_due(sink, NOW)
        assert alert is not None
        if sink == "failed":
            ledger.alerts.failed(alert, NOW + 60, "refused")
        else:
            assert ledger.alerts.begin(alert, NOW)
        if sink == "sent":
            ledger.alerts.delivered(alert, NOW)
    ledger.alerts.record(HistoryBatch(muted={"i1": "tunnel"}))
    with ledger.database.write() as connection:
        left = set(connection.execute(select(outbox.c.key)).scalars())
    assert left == {"i1-begun", "i1-failed", "i1-sent", "i2-unsent", "note"}


def test_the_last_state_of_each_subject_is_that_of_its_last_flip(ledger: Ledger) -> None:
    assert ledger.alerts.last_states() == {}
    ledger.alerts.record(
        HistoryBatch(
            flips=(
                make_flip("web", "fail"),
                make_flip("queue", "ok"),
                make_flip("web", "ok", code="well"),
            )
        )
    )
    assert ledger.alerts.last_states() == {"web": ("ok", "well"), "queue": ("ok", "ok")}


def test_flips_are_read_newest_first_by_subject_time_and_page(ledger: Ledger) -> None:
    batch_flips = [make_flip(("web", "queue")[number % 2], at=NOW + number) for number in range(6)]
    ledger.alerts.record(HistoryBatch(flips=tuple(batch_flips)))

    def seqs(**wanted: object) -> list[int]:
        return [flip.seq for flip in ledger.alerts.flips(**wanted)]  # type: ignore[arg-type]

    assert seqs() == [6, 5, 4, 3, 2, 1]
    assert seqs(subject="web") == [5, 3, 1]
    assert seqs(since=NOW + 3) == [6, 5, 4]
    assert seqs(limit=2) == [6, 5]
    assert seqs(limit=2, before=6, subject="queue") == [4, 2]


def _run(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)


def test_two_processes_that_record_at_once_lose_nothing_and_keep_their_order(
    tmp_path: Path,
) -> None:
    make_ledger(tmp_path).close()
    script = (
        "import sys; from pathlib import Path; from tests.building import make_ledger;"
        "from tests.ledger.health_builders import *\n"
        "ledger, me = make_ledger(Path(sys.argv[1]), 30.0), sys.argv[2]\n"
        "for n in range(25):\n"
        "    ledger.alerts.record(trouble(f'{me}{n}', me))\n"
        "    ledger.uptime.observe(int(NOW), {'web': (1.0, 0.0, 0.0, 0.0)})\n"
        "    ledger.alerts.record(HistoryBatch(closed=(f'{me}{n}',), closed_at=NOW))\n"
    )
    writers = [_run(script, str(tmp_path), name) for name in ("a", "b")]
    assert [writer.communicate(timeout=60)[1][-500:] for writer in writers] == [b"", b""]
    ledger = make_ledger(tmp_path)
    for name in ("a", "b"):
        incident_ids = [flip.incident_id for flip in ledger.alerts.flips(name)]
        assert incident_ids == [f"{name}{number}" for number in reversed(range(25))]
    assert ledger.alerts.pending_count() == 50
    assert ledger.uptime.observations(60, 0)[0].seconds == {"web": (50.0, 0.0, 0.0, 0.0)}
    ledger.close()


# Each child records batches until it is killed: the first ones before their nth
# statement or at their commit, so that every place in a batch is tried; the
# others after a random time.
_KILLED = """
import os, signal, sys, time
from pathlib import Path
from sqlalchemy import event
from tests.building import make_ledger
from tests.ledger.health_builders import *

def record(number, nth):
    ledger = make_ledger(Path(sys.argv[1]), 30.0)
    left = [nth]
    def strike(*_):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    for name in ("before_cursor_execute", "commit"):
        event.listen(ledger.database.engine, name, strike)
    for n in range(10**6):
        ledger.alerts.record(trouble(f"{number}-{n}", f"{number}-{n}", ("one", "two")))

for number in range(16):
    child = os.fork()
    if child == 0:
        record(number, number + 1 if number < 12 else -1)
    if number >= 12:
        time.sleep(0.03 + number / 400)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, status
"""


def test_a_recorder_that_is_killed_leaves_a_flip_with_its_alerts_or_neither(
    tmp_path: Path,
) -> None:
    make_ledger(tmp_path).close()
    assert _run(_KILLED, str(tmp_path)).communicate(timeout=60)[1][-800:] == b""
    ledger = make_ledger(tmp_path)
    with ledger.database.write() as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (flips, incidents, outbox)
        ]
        assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    assert counts[0] > 3
    assert counts == [counts[0], counts[0], 2 * counts[0]]
    ledger.close()


def test_a_locked_ledger_rejects_writes_and_allows_reads(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path, busy_seconds=0.2)
    ledger.alerts.record(trouble())
    alert = ledger.alerts.next_due("ops", NOW)
    assert alert is not None
    other = open_database(tmp_path, 1)
    with other.write():
        with pytest.raises(OperationalError, match="locked"):
            ledger.uptime.observe(int(NOW), {"web": (1.0, 0.0, 0.0, 0.0)})
        with pytest.raises(OperationalError, match="locked"):
            ledger.alerts.delivered(alert, NOW)
        assert ledger.alerts.next_due("ops", NOW) == alert
    other.close()
    ledger.close()
