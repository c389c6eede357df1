"""The evidence folder: a file is complete, on the disk, or absent."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gpt_cursor_runner.ledger.evidence import Evidence


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(tmp_path / "patches" / "a")


def test_an_absent_file_reads_as_none(evidence: Evidence) -> None:
    assert (evidence.diff(), evidence.report(), evidence.report_json()) == (None, None, None)
    assert evidence.check_logs() == {}


def test_a_report_is_kept_in_both_forms_with_the_request(evidence: Evidence) -> None:
    evidence.keep_report(b"# Report\n", b"{}\n", b"request")
    assert evidence.report() == b"# Report\n"
    assert evidence.report_json() == b"{}\n"
    assert sorted(file.name for file in evidence.folder.iterdir()) == [
        "report.json",
        "report.md",
        "request",
    ]


def test_a_reader_gets_the_old_file_or_the_new_one_and_never_a_part(evidence: Evidence) -> None:
    texts = [bytes([byte]) * 500_000 for byte in b"ab"]
    evidence.keep_diff(texts[0])
    written = threading.Event()

    def write() -> None:
        for number in range(40):
            evidence.keep_diff(texts[number % 2])
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not written.is_set():
        assert evidence.diff() in texts
    writer.join()


def test_a_failed_write_leaves_the_old_file(evidence: Evidence) -> None:
    evidence.keep_diff(b"old")
    (evidence.folder / "sealed.diff.part").mkdir()
    with pytest.raises(IsADirectoryError):
        evidence.keep_diff(b"new")
    assert evidence.diff() == b"old"


def test_a_diff_that_is_too_long_is_cut_with_a_mark(evidence: Evidence) -> None:
    evidence.keep_diff(b"+" * (17 * 1024 * 1024))
    kept = evidence.diff() or b""
    assert len(kept) < 17 * 1024 * 1024
    assert kept.endswith(b"# cut here: the rest of this diff was not kept\n")


def test_logs_come_in_the_order_of_the_checks(evidence: Evidence) -> None:
    for number, name in ((10, "last"), (1, "lint"), (2, "tests")):
        log = evidence.check_log(number, name)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(name.encode() + b"\xff\n")
    assert evidence.check_logs() == {
        "01-lint": "lint\ufffd\n",
        "02-tests": "tests\ufffd\n",
        "10-last": "last\ufffd\n",
    }
    evidence.forget_check_logs()
    assert evidence.check_logs() == {}


def test_a_report_is_on_the_disk_before_keep_report_returns(tmp_path: Path) -> None:
    folder = tmp_path / "patches" / "a"
    calls = traced_calls(
        tmp_path,
        "import sys; from pathlib import Path; from gpt_cursor_runner.ledger.evidence import"
        " Evidence; Evidence(Path(sys.argv[1])).keep_report(b'# Report', b'{}', b'request')",
        str(folder),
    )
    expected = []
    for name in ("request", "report.json", "report.md"):
        expected += [f"fsync {folder}/{name}.part", f"rename {folder}/{name}.part {folder}/{name}"]
    expected += [f"fsync {folder}", f"fsync {folder.parent}"]
    assert calls == expected


def traced_calls(tmp_path: Path, script: str, *arguments: str) -> list[str]:
    """The successful calls of fsync and rename that a Python script makes, with
    the paths they name.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed, so system calls cannot be traced")
    trace = tmp_path / "trace"
    # With -y strace prints the path of a descriptor: fsync(3</path>) = 0
    command = ["strace", "-f", "-y", "-s", "4096", "-o", str(trace)]
    command += ["-e", "trace=fsync,fdatasync,rename,renameat,renameat2"]
    subprocess.run([*command, sys.executable, "-c", script, *arguments], check=True)
    calls = []
    for line in trace.read_text().splitlines():
        if sync := re.search(r"f(?:data)?sync\(\d+<(.*)>\)\s+= 0$", line):
            calls.append(f"fsync {sync[1]}")
        elif rename := re.search(r'rename\w*\(.*"(.*)",.*"(.*)".*\)\s+= 0$', line):
            calls.append(f"rename {rename[1]} {rename[2]}")
    return calls
