"""The commands that need no process: their exit codes, JSON and texts."""

from __future__ import annotations

import json
import threading
import time

import click
import psutil
import pytest

from gpt_cursor_runner.cli import main, show
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.keys import match_key
from tests.building import make_admission
from tests.cli.builders import refused


@pytest.fixture
def ledger(terminal):
    made = terminal.installation.ledger()
    yield made
    made.close()


@pytest.fixture
def put(ledger):
    """Stores a patch in the ledger in any state."""

    def put_patch(patch_id="p1", status="queued", outcome=None, **members):
        ledger.intake.accept([make_admission(id=patch_id, **members)])
        with ledger.database.write() as connection:
            stored_outcome = json.dumps(outcome) if outcome else None
            connection.exec_driver_sql(
                "UPDATE patches SET status = ?, outcome = ? WHERE id = ?",
                (status, stored_outcome, patch_id),
            )

    return put_patch


def test_every_command_has_its_module_and_its_help():
    for name in main.list_commands(click.Context(main)):
        command = main.get_command(click.Context(main), name)
        assert command is not None and command.name == name and command.get_short_help_str()


MISTAKES = [
    "nonsense",
    "show",
    "patches --limit 0",
    "patches --nope",
    "key",
    "key create",
    "--nope",
    "",
]


@pytest.mark.parametrize("line", MISTAKES)
def test_a_wrong_command_line_is_2_and_names_the_help(terminal, line):
    assert "--help" in refused(terminal.type(*line.split(), configured=False), 2)


def test_a_wrong_command_line_is_reported_in_json(terminal):
    body = terminal.json("show", code=2, configured=False)
    assert body["error"]["next_command"] == "gcr show --help"


NEED_SETTINGS = [
    ["patches"], ["show", "x"], ["diff", "x"], ["log", "x"], ["report", "x"], ["cancel", "x"], ["retry", "x"],
    ["approve", "x"], ["reject", "x"], ["status"], ["health"], ["key", "list"], ["gateway"], ["runner"], ["up"],
]  # fmt: skip


@pytest.mark.parametrize("words", NEED_SETTINGS, ids=" ".join)
def test_without_settings_every_command_is_2_and_points_to_init(terminal, words):
    assert "next: gcr init" in refused(terminal.type(*words, configured=False), 2)
    assert terminal.json(*words, code=2, configured=False)["error"]["next_command"] == "gcr init"


@pytest.mark.parametrize(
    "text", ["[server]\nprot = 1\n", "[server", "[server]\nport = 99999\n", "[[repository]]\n"]
)
def test_wrong_settings_are_2_and_name_the_file(terminal, text):
    terminal.installation.config.write_text(text)
    assert str(terminal.installation.config) in refused(terminal.type("patches"), 2)


UNKNOWN = ["show", "diff", "log", "report", "cancel", "retry", "approve", "reject"]


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("patch_id", ["nobody", "../../etc/passwd", "a b", "\x1b[31m"])
def test_an_unknown_patch_is_1_and_points_to_the_list(terminal, name, patch_id):
    assert "next: gcr patches" in refused(terminal.type(name, patch_id), 1)


DECISIONS = [
    ("cancel", "queued", "cancelled"),
    ("retry", "failed", "queued"),
    ("approve", "held", "queued"),
    ("reject", "held", "rejected"),
]


@pytest.mark.parametrize(("name", "status", "becomes"), DECISIONS)
def test_a_decision_is_carried_out_and_shown(terminal, put, name, status, becomes):
    put(status=status)
    assert terminal.json(name, "p1")["patch"]["status"] == becomes
    assert "next: gcr show p1" in refused(terminal.type("approve", "p1"), 1)


def test_the_reason_of_a_rejection_is_kept(terminal, put, ledger):
    put(status="held")
    assert terminal.type("reject", "p1", "-m", "too wide").exit_code == 0
    assert ledger.queries.get("p1").outcome["message"] == "too wide"


def test_the_list_has_tabs_when_piped(terminal, put):
    assert "gcr send FILE --wait" in terminal.type("patches").stdout
    put("p1", title="A title that is far longer than any terminal is wide " * 4)
    put("p2", "landed")
    rows = [line.split("\t") for line in terminal.type("patches").stdout.splitlines()]
    assert [row[:3] for row in rows] == [["landed", "p2", "app"], ["queued", "p1", "app"]]
    assert rows[1][4].endswith("wide")
    (landed,) = terminal.json("patches", "--status", "landed")["patches"]
    assert landed["patch_id"] == "p2"
    assert terminal.json("patches", "--repository", "other")["patches"] == []


def test_a_patch_is_shown_step_by_step(terminal, put):
    put(
        status="rejected",
        outcome={"code": "x", "errors": [{"path": "a.py", "message": "no such line"}]},
    )
    put("p2", status="failed", outcome={"code": "x", "message": "disk full", "next_step": "Wait."})
    shown = terminal.type("show", "p1").stdout
    assert "a.py      no such line" in shown and "accepted" in shown
    shown = terminal.type("show", "p2").stdout
    assert "message   disk full" in shown and "next_step Wait." in shown
    body = terminal.json("show", "p1")
    assert (body["patch"]["patch_id"], body["events"][0]["kind"]) == ("p1", "accepted")


def test_missing_evidence_is_reported_with_its_reason(terminal, put):
    put()
    assert "not sealed" in refused(terminal.type("diff", "p1"), 1)
    assert "not ended" in refused(terminal.type("report", "p1"), 1)
    assert terminal.json("log", "p1")["checks"] == {}


def test_a_report_that_is_written_late_is_waited_for(terminal, put):
    put(status="landed")
    evidence = Evidence(terminal.installation.directory / "state" / "patches" / "p1")
    writing = threading.Timer(0.4, evidence.keep_report, (b"# Report\n", b"{}", b"{}"))
    writing.start()
    assert terminal.type("report", "p1").stdout == "# Report\n"
    writing.join()


def test_the_wait_for_a_report_has_a_limit(terminal, put, monkeypatch):
    put(status="landed")
    monkeypatch.setattr(show, "_REPORT_TIMEOUT_SECONDS", 0.1)
    assert "not written yet" in refused(terminal.type("report", "p1"), 1)


def test_evidence_is_printed_and_a_piped_diff_is_exact(terminal, put):
    put()
    evidence = Evidence(terminal.installation.directory / "state" / "patches" / "p1")
    diff = b"--- a/x\r\n+\xff \x1b[31m\r\n"
    evidence.keep_diff(diff)
    evidence.keep_report(b"# Report\n", b'{"status": "landed"}', b"{}")
    evidence.check_log(1, "tests").parent.mkdir()
    evidence.check_log(1, "tests").write_bytes(b"\x1b]0;owned\x07\x1b[31mred\x9b5m\ttab\r\n")
    assert terminal.type("diff", "p1").stdout_bytes == diff
    assert terminal.type("report", "p1").stdout == "# Report\n"
    assert terminal.json("report", "p1")["report"] == {"status": "landed"}
    shown = terminal.type("log", "p1").stdout
    assert shown == "== 01-tests\n\\x1b]0;owned\\x07\\x1b[31mred\\x0b5m\ttab\n\n".replace(
        "\\x0b5m", "\ufffd5m"
    )


def test_keys_are_made_listed_revoked_and_rotated(terminal, ledger):
    made = terminal.json("key", "create", "ci", "--scope", "submit", "--days", "1")
    assert made["scopes"] == ["submit"]
    key = match_key(ledger.keys.unrevoked(), made["key"], time.time())
    assert key is not None and key.name == "ci"
    listed = terminal.type("key", "list").stdout
    assert made["id"] in listed and made["key"] not in listed
    rotated = terminal.json("key", "rotate", made["id"], "--grace-hours", "0")
    assert rotated["scopes"] == ["submit"]
    assert match_key(ledger.keys.unrevoked(), made["key"], time.time() + 1) is None
    assert terminal.json("key", "revoke", rotated["id"])["revoked"]
    assert match_key(ledger.keys.unrevoked(), rotated["key"], time.time()) is None
    assert "next: gcr key list" in refused(terminal.type("key", "revoke", rotated["id"]), 1)
    assert "next: gcr key list" in refused(terminal.type("key", "rotate", "nobody"), 1)
    refused(terminal.type("key", "create", " \n"), 2)
    refused(terminal.type("key", "create", "x", "--scope", "all"), 2)
    refused(terminal.type("key", "create", "x", "--days", "-1"), 2)


@pytest.mark.parametrize(
    "words", [["health"], ["status"], ["health", "--wait", "0.3"]], ids=" ".join
)
def test_without_a_gateway_it_is_5(terminal, words):
    assert "next: gcr up" in refused(terminal.type(*words), 5)
    assert terminal.json(*words, code=5)["error"]["next_command"] == "gcr up"


def test_a_quiet_probe_prints_nothing(terminal):
    result = terminal.type("health", "--quiet")
    assert (result.exit_code, result.output) == (5, "")


def test_sending_without_a_gateway_is_5(terminal, tmp_path):
    file = tmp_path / "patch.json"
    file.write_text('{"id": "x", "title": "t", "changes": []}')
    assert "next: gcr up" in refused(terminal.type("send", str(file)), 5)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:5555", "ftp://x", "http://127.0.0.1:notaport", "http://[", ""]
)
def test_an_invalid_address_is_a_wrong_command_line(terminal, url):
    refused(terminal.type("health", "--url", url), 2)


def test_a_key_that_fits_no_header_is_a_wrong_command_line(terminal, monkeypatch):
    monkeypatch.setenv("GCR_KEY", "gcr_x\r\nX-Injected: yes")
    refused(terminal.type("status"), 2)


SENT = [
    (b"not json", [], "--id and --title"),
    (b"not json", ["--id", "x"], "--title"),
    (b'{"id": ', ["--id", "x", "--title", "t"], "not JSON"),
    (b'{"id": "a", "id": "b"}', ["--title", "t"], "twice"),
    (b"[]", [], "not an object"),
    (b"[" * 100_000, [], "not JSON"),
    (b"--- a/\xff\n", ["--id", "x", "--title", "t"], "UTF-8"),
]


@pytest.mark.parametrize(("data", "options", "words"), SENT)
def test_a_file_that_is_not_a_patch_is_a_wrong_command_line(terminal, data, options, words):
    assert words in refused(terminal.type("send", "-", *options, stdin=data), 2)


def test_an_unusable_ledger_is_1_and_points_to_the_doctor(terminal):
    for file in (terminal.installation.directory / "state").glob("ledger.sqlite3*"):
        file.unlink()
    (terminal.installation.directory / "state" / "ledger.sqlite3").write_bytes(
        b"no database" * 1000
    )
    assert "next: gcr doctor" in refused(terminal.type("patches"), 1)


def test_an_unusable_state_directory_is_1(terminal):
    (terminal.installation.directory / "state" / "patches").write_text("in the way")
    assert "next: gcr doctor" in refused(terminal.type("patches"), 1)


def test_no_command_leaves_a_connection_open(terminal, put, ledger):
    put(status="failed")
    ledger.close()  # SQLite closes no file of a process in which another connection to it is open
    for words in (
        ["patches"],
        ["show", "p1"],
        ["key", "list"],
        ["show", "nobody"],
        ["log", "p1"],
        ["retry", "p1"],
    ):
        terminal.type(*words)
    paths = [file.path for file in psutil.Process().open_files()]
    directory = str(terminal.installation.directory)
    assert not any(path.startswith(directory) for path in paths)
