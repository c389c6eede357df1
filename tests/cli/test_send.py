"""`gcr send` with every form of patch, and its preview."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from gpt_cursor_runner.cli import preview_text
from tests.building import patch_body
from tests.cli.builders import Terminal, refused
from tests.running import Installation

FILES = {"app.py": 'def f():\n    return "old"\n'}
NEW = 'def f():\n    return "new"'
HUNK = '@@ -1,2 +1,2 @@\n def f():\n-    return "old"\n+    return "new"\n'
DIFF = f"--- a/app.py\n+++ b/app.py\n{HUNK}"
FORMS = {
    "unified_diff": DIFF,
    "apply_patch": (
        '*** Begin Patch\n*** Update File: app.py\n-    return "old"\n+    return "new"\n*** End'
        " Patch\n"
    ),
    "search_replace": (
        'app.py\n<<<<<<< SEARCH\n    return "old"\n=======\n    return "new"\n>>>>>>> REPLACE\n'
    ),
}
TOOL_CALL = {"command": "str_replace", "path": "app.py", "old_str": "old", "new_str": "new"}
CHANGE = {"type": "str_replace", "path": "app.py", "old": "old", "new": "new"}
NAMED = ("--id", "one", "--title", "One")


@pytest.fixture
def user(running, monkeypatch):
    """A user in the checkout; the branch holds FILES."""
    monkeypatch.chdir(running.repo.path)
    running.repo.commit(FILES)
    return Terminal(running)


@pytest.fixture
def named(request):
    """Options with an id that no other test of this file uses."""
    name = f"send-{abs(hash(request.node.name))}"
    return ("--id", name, "--title", "A title")


def landed(running: Installation) -> bool:
    return bool(running.repo.show("app.py") == NEW)


@pytest.mark.parametrize("where", ["file", "stdin"])
@pytest.mark.parametrize("kind", FORMS)
def test_every_raw_form_lands_from_a_file_or_standard_input(
    user, running, tmp_path, named, kind, where
):
    file, text = tmp_path / "patch.txt", f"Here it is:\n\n```\n{FORMS[kind]}```\n"
    file.write_text(text)
    source, stdin = str(file), None
    if where == "stdin":
        source, stdin = "-", text.encode()
    assert user.json("send", source, *named, "--wait", stdin=stdin)["status"] == "landed"
    assert landed(running)


@pytest.mark.parametrize("body", [CHANGE, TOOL_CALL], ids=["change", "tool call"])
def test_a_single_change_or_tool_call_lands_with_a_name(user, running, named, body):
    assert (
        user.json("send", "-", *named, "--wait", stdin=json.dumps(body).encode())["status"]
        == "landed"
    )
    assert landed(running)


def test_hunks_alone_land_in_the_given_file(user, running, named):
    assert (
        user.json("send", "-", *named, "--path", "app.py", "--wait", stdin=HUNK.encode())["status"]
        == "landed"
    )
    assert landed(running)


def test_base_and_tolerance_are_sent_with_the_patch(user, running, named):
    base = running.repo.tip()
    running.repo.commit({"other.txt": "newer\n"})
    strict = user.type(
        "send", "-", *named, "--base", base, "--tolerance", "strict", stdin=DIFF.encode()
    )
    assert "moved on" in refused(strict, 1)
    assert (
        user.json("send", "-", *named, "--base", base, "--wait", stdin=DIFF.encode())["status"]
        == "landed"
    )


def test_a_preview_shows_files_hunks_and_diff_and_sends_nothing(user, running, tmp_path, named):
    file = tmp_path / "my patch.diff"
    file.write_text(DIFF)
    before = running.repo.state()
    shown = user.type("send", str(file), *named, "--preview")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert "nothing was sent" in lines[0] and "\x1b" not in shown.output
    assert "change\tapp.py\t+1 -1" in lines and "0/0\tapp.py:1\texact\t1.00" in lines
    assert '-    return "old"' in lines and '+    return "new"' in lines
    assert running.repo.state() == before
    assert "next: gcr patches" in refused(user.type("show", named[1]), 1)


def test_the_next_command_of_a_preview_lands_the_previewed_plan(user, running, tmp_path, named):
    file = tmp_path / "my patch.diff"
    file.write_text(DIFF)
    shown = user.type("send", str(file), *named, "--preview").stdout.splitlines()[-1]
    words = shlex.split(shown.removeprefix("next: "))
    assert words[0] == "gcr" and "--expect-plan" in words and "--config" in words
    ended = user.type(*words[1:], configured=False)
    assert ended.exit_code == 0, ended.output
    assert landed(running)


def test_the_next_command_lands_nothing_after_the_file_changed(user, running, named):
    body = user.json("send", "-", *named, "--preview", stdin=DIFF.encode())
    assert shlex.split(body["next_command"])[2] == "-"
    running.repo.commit({"app.py": f"{FILES['app.py']}# newer\n"})
    late = user.type(
        "send", "-", *named, "--expect-plan", body["preview"]["plan_digest"], stdin=DIFF.encode()
    )
    assert "/expect_plan" in refused(late, 1)


def test_a_preview_of_a_patch_that_does_not_apply_is_refused(user, named):
    words = refused(
        user.type("send", "-", *named, "--preview", stdin=DIFF.replace("old", "older").encode()), 1
    )
    assert "/changes/0/text" in words and "no_match" in words


def test_a_preview_of_a_patch_in_json_needs_no_options(user):
    body = user.json(
        "send", "-", "--preview", stdin=json.dumps(patch_body(id="json", changes=[CHANGE])).encode()
    )
    assert body["preview"]["patch_id"] == "json" and body["preview"]["files"][0]["path"] == "app.py"
    assert "--id" not in body["next_command"]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("Make it blue.", NAMED, "<<<<<<< SEARCH"),
        (HUNK, NAMED, "--path"),
        (DIFF + FORMS["search_replace"], NAMED, "one kind"),
        (json.dumps(CHANGE), (*NAMED, "--path", "app.py"), "--path names"),
        (DIFF, (*NAMED, "--tolerance", "lax"), "lax"),
    ],
)
def test_an_invalid_patch_is_refused_before_a_request(terminal, text, options, words):
    assert words in refused(terminal.type("send", "-", *options, stdin=text.encode()), 2)


def test_the_diff_is_coloured_on_a_terminal_only(monkeypatch):
    preview: dict[str, Any] = {
        "repository": "app",
        "branch": "main",
        "tip": "0" * 40,
        "patch_id": "x",
    }
    preview |= {"files": [], "files_total": 0, "insertions": 1, "deletions": 1, "hunks": []}
    preview |= {"warnings": ["a\x1b[31mb"], "diff": "-old\n+new \x1b[2J\n", "diff_truncated": True}
    text = "\n".join(preview_text.preview_lines(preview, "gcr send"))
    assert "\x1b" not in text and "\\x1b[2J" in text and "it is cut here" in text
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert "\x1b[31m-old\x1b[0m" in "\n".join(preview_text.preview_lines(preview, "gcr send"))


def test_the_help_describes_both_previews(terminal):
    text = " ".join(terminal.type("send", "--help", configured=False).stdout.split())
    assert (
        "--preview alone plans" in text
        and "With --wait it is sent as a patch of mode preview" in text
    )
