"""`gcr send` with every form of patch, and the preview it shows before anything
is sent.
"""

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
    """A user in the checkout, which holds FILES on the branch."""
    monkeypatch.chdir(running.repo.path)
    running.repo.commit(FILES)
    return Terminal(running)


@pytest.fixture
def named(request):
    """The options that name a patch as nobody else's of this file."""
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
    source, stdin = (str(file), None) if where == "file" else ("-", text.encode())
    assert user.json("send", source, *named, "--wait", stdin=stdin)["status"] == "landed"
    assert landed(running)


@pytest.mark.parametrize("body", [CHANGE, TOOL_CALL], ids=["change", "tool call"])
def test_a_single_change_or_tool_call_lands_with_a_name(user, running, named, body):
    assert (
        user.json("send", "-", *named, "--wait", stdin=json.dumps(body).encode())["status"]
        == "landed"
    )
    assert landed(running)


def test_hunks_alone_land_in_the_file_that_is_named(user, running, named):
    assert (
        user.json("send", "-", *named, "--path", "app.py", "--wait", stdin=HUNK.encode())["status"]
        == "landed"
    )
    assert landed(running)


def test_base_and_tolerance_go_with_the_patch(user, running, named):
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


def test_the_command_that_a_preview_ends_with_lands_what_was_seen(user, running, tmp_path, named):
    file = tmp_path / "my patch.diff"
    file.write_text(DIFF)
    shown = user.type("send", str(file), *named, "--preview").stdout.splitlines()[-1]
    words = shlex.split(shown.removeprefix("next: "))
    assert words[0] == "gcr" and "--expect-plan" in words and "--config" in words
    ended = user.type(*words[1:], configured=False)
    assert ended.exit_code == 0, ended.output
    assert landed(running)


def test_that_command_lands_nothing_once_the_file_has_changed(user, running, named):
    told = user.json("send", "-", *named, "--preview", stdin=DIFF.encode())
    assert shlex.split(told["next_command"])[2] == "-"
    running.repo.commit({"app.py": f"{FILES['app.py']}# newer\n"})
    late = user.type(
        "send", "-", *named, "--expect-plan", told["preview"]["plan_digest"], stdin=DIFF.encode()
    )
    assert "/expect_plan" in refused(late, 1)


def test_a_preview_of_what_does_not_fit_is_refused_like_the_patch(user, named):
    words = refused(
        user.type("send", "-", *named, "--preview", stdin=DIFF.replace("old", "older").encode()), 1
    )
    assert "/changes/0/text" in words and "no_match" in words


def test_a_preview_of_a_patch_in_json_needs_no_options(user):
    told = user.json(
        "send", "-", "--preview", stdin=json.dumps(patch_body(id="json", changes=[CHANGE])).encode()
    )
    assert told["preview"]["patch_id"] == "json" and told["preview"]["files"][0]["path"] == "app.py"
    assert "--id" not in told["next_command"]


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
def test_what_cannot_be_sent_is_a_mistake_told_before_anybody_is_asked(
    terminal, text, options, words
):
    assert words in refused(terminal.type("send", "-", *options, stdin=text.encode()), 2)


def test_the_diff_is_coloured_on_a_terminal_only(monkeypatch):
    told: dict[str, Any] = {"repository": "app", "branch": "main", "tip": "0" * 40, "patch_id": "x"}
    told |= {"files": [], "files_total": 0, "insertions": 1, "deletions": 1, "hunks": []}
    told |= {"warnings": ["a\x1b[31mb"], "diff": "-old\n+new \x1b[2J\n", "diff_truncated": True}
    plainly = "\n".join(preview_text.preview_lines(told, "gcr send"))
    assert "\x1b" not in plainly and "\\x1b[2J" in plainly and "it is cut here" in plainly
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert "\x1b[31m-old\x1b[0m" in "\n".join(preview_text.preview_lines(told, "gcr send"))


def test_the_help_tells_the_two_previews_apart(terminal):
    said = " ".join(terminal.type("send", "--help", configured=False).stdout.split())
    assert (
        "--preview alone plans" in said
        and "With --wait it is sent as a patch of mode preview" in said
    )
