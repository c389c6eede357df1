from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_cursor_runner.formats.envelope.parsing import (
    parse_bare_hunks,
    parse_envelope,
    parse_new_file,
)
from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.sections import ParsedPatch, Section, Verb
from gpt_cursor_runner.patch.faults import PatchRefused
from tests.formats.builders import codes, only_fault, outcome, plan, refusal
from tests.formats.rendering import render_envelope, render_sections

FILE = b"one\ntwo\nthree\n"
A = {"a.py": FILE}
UPDATE = "*** Update File: a.py\n@@\n one\n-two\n+TWO\n"
CHANGED = {"a.py": b"one\nTWO\nthree\n"}


def patch(text: str, **more: object) -> dict[str, object]:
    return {"type": "apply_patch", "text": text, **more}


def envelope(*parts: str) -> dict[str, object]:
    return patch(enveloped(*parts))


def enveloped(*parts: str) -> str:
    return "*** Begin Patch\n" + "".join(parts) + "*** End Patch\n"


def hunks_of(body: str) -> tuple[Hunk, ...]:
    parsed = parse_envelope(enveloped("*** Update File: a.py\n", body).encode())
    assert not parsed.faults and not parsed.sections[0].faults
    return parsed.sections[0].hunks


def signed(hunk: Hunk) -> str:
    return "".join(line.sign + line.data.decode() for line in hunk.lines)


def fault(body: str) -> tuple[str, int, str]:
    """Code, line and message of the one fault in the part of one file."""
    parsed = parse_envelope(enveloped("*** Update File: a.py\n", body).encode())
    [fault] = [
        *parsed.faults,
        *(fault for section in parsed.sections for fault in section.faults),
    ]
    return fault.code, fault.patch_line, fault.message


def test_one_envelope_adds_deletes_changes_and_moves():
    files = {"gone.py": b"x\n", "a.py": FILE, "old/b.py": b"b\n"}
    made = envelope(
        "*** Add File: new/n.py\n+n\n+\n",
        "*** Delete File: gone.py\n",
        UPDATE,
        "*** Update File: old/b.py\n*** Move to: b.py\n@@\n-b\n+B\n",
    )
    assert outcome(files, made) == {"new/n.py": b"n\n\n", "b.py": b"B\n", **CHANGED}


def test_sections_for_one_file_build_on_one_another():
    again = "*** Update File: a.py\n@@\n-TWO\n+2\n"
    assert outcome(A, envelope(UPDATE, again)) == {"a.py": b"one\n2\nthree\n"}
    assert outcome(A, envelope("*** Delete File: a.py\n", "*** Add File: a.py\n+new\n")) == {
        "a.py": b"new\n"
    }


def test_a_move_needs_no_hunk_and_a_move_onto_itself_is_none():
    assert outcome(A, envelope("*** Update File: a.py\n*** Move to: b.py\n")) == {"b.py": FILE}
    assert outcome(A, envelope(UPDATE.replace("@@", "*** Move to: a.py\n@@"))) == CHANGED


@pytest.mark.parametrize(
    "wrapping",
    [
        "{}",
        "{}\n\n",
        "Here is the patch:\n\n```diff\n{}```\nIt changes *** one line.\n- done",
        "<<EOF\n{}EOF\n",
        "<<'EOF'\n{}EOF\n",
        '%%bash\napply_patch <<"PATCH"\n{}\nPATCH',
        "```bash\n$ cat <<'EOF' | apply_patch\n{}EOF\n```\n",
        "bash -lc \"apply_patch <<'EOF'\n{}EOF\"\n",
        "bash -lc 'cd . && apply_patch <<EOF\n{}EOF\n'\n",
        " {}",
    ],
)
def test_what_surrounds_an_envelope_is_passed_over(wrapping):
    assert outcome(A, patch(wrapping.format(enveloped(UPDATE)))) == CHANGED


@pytest.mark.parametrize(
    "text",
    [
        "*** Begin Patch  \n  *** Update File:  a.py \n@@ \n-two\n+TWO\n *** End Patch",
        "*** Begin Patch\n*** Update File: ./a.py\n-two\n+TWO\n*** End Patch \nEOF",
        UPDATE,
        "Like this:\n```\n" + UPDATE + "```\nThe `two` is louder now.",
        (
            "*** Update File: a.py\n--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n***"
            " End Patch\n"
        ),
        enveloped(UPDATE.replace("two", "two").replace("@@", "@@ ... @@")),
    ],
)
def test_loose_markers_and_missing_ones_are_read_as_they_are_meant(text):
    assert outcome(A, patch(text)) == CHANGED


def test_a_folder_that_the_command_changes_into_leads_every_path():
    files = {"a.py": FILE, "sub/a.py": FILE}
    command = "cd {} && apply_patch <<'EOF'\n" + enveloped(UPDATE) + "EOF\n"
    assert outcome(files, patch(command.format("sub"))) == {
        "a.py": FILE,
        "sub/a.py": CHANGED["a.py"],
    }
    assert only_fault(files, patch(command.format("/work"))).code == "path_escape"
    assert only_fault(files, patch(command.format(".."))).code == "path_escape"
    assert (
        only_fault(files, patch("cd sub\n" + command.removeprefix("cd {} && "))).code == "malformed"
    )
    assert (
        "folders one after another"
        in refusal(files, patch(command.format("sub") * 2)).faults[0].message
    )


def test_several_envelopes_in_one_text_are_made_in_order():
    second = enveloped("*** Update File: a.py\n@@\n-TWO\n+2\n")
    assert outcome(A, patch(f"First:\n{enveloped(UPDATE)}\nThen:\n{second}")) == {
        "a.py": b"one\n2\nthree\n"
    }


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("bad", "malformed", 1),
        ("*** Begin Patch\n" + UPDATE, "truncated", 6),
        ("*** Begin Patch\n*** Delete File: a.py", "truncated", 2),
        ("*** Begin Patch\n" + enveloped(UPDATE), "truncated", 8),
        (
            enveloped(UPDATE) + "*** Begin Patch\n*** Update File: a.py\n-two\n *** End Patch\n",
            "truncated",
            11,
        ),
        ("<<EOF\n" + enveloped(UPDATE), "truncated", 8),
        ("<<EOF\n" + enveloped(UPDATE) + "EOT\n", "truncated", 8),
        ("```\n" + UPDATE, "truncated", 6),
        ("<<\"EOF'\n" + enveloped(UPDATE) + "EOF\n", "malformed", 1),
        (
            "bash -lc \"apply_patch <<'EOF'\n" + enveloped(UPDATE, '+"$x"\n') + 'EOF"\n',
            "malformed",
            1,
        ),
        ("ssh host apply_patch <<EOF\n" + enveloped(UPDATE) + "EOF\n", "malformed", 1),
        (enveloped(), "malformed", 2),
        (UPDATE + enveloped(UPDATE), "malformed", 1),
        (enveloped(UPDATE) + UPDATE, "malformed", 8),
        (enveloped("*** Frobnicate File: a.py\n"), "malformed", 2),
        (enveloped("stray\n", UPDATE), "malformed", 2),
        (enveloped("*** Delete File: a.py\n-one\n"), "malformed", 3),
        (enveloped("*** Update File: a.py\n"), "malformed", 2),
        (enveloped("*** Add File: n.py\n+a\n\n+b\n"), "malformed", 4),
        (enveloped("*** Add File: n.py\na\n"), "malformed", 3),
    ],
)
def test_a_broken_or_cut_off_text_is_refused_with_the_line(text, code, line):
    fault = only_fault(A, patch(text))
    assert (fault.code, fault.patch_line, fault.pointer) == (code, line, "/changes/0/text")


def test_a_text_cut_off_anywhere_before_its_end_is_refused():
    text = enveloped("*** Add File: n.py\n+n\n", UPDATE, "*** Delete File: b.py\n")
    files = A | {"b.py": b""}
    assert len(plan(files, patch(text.strip())).actions) == 3
    for end in range(1, len(text.strip())):
        assert set(codes(refusal(files, patch(text[:end])))) <= {"truncated", "malformed"}


def test_all_faults_are_named_at_once():
    refused = refusal(
        A,
        envelope(
            "*** Add File: a.py\n+x\n",
            "*** Update File: ../x\n@@\n-x\n+y\n",
            "*** Update File: b.py\n@@\nbad\n@@\n-x\n+y\n",
            "*** Nonsense\n",
            "*** Delete File: c.py\n",
        ),
    )
    assert sorted(codes(refused)) == [
        "exists",
        "malformed",
        "malformed",
        "missing_file",
        "missing_file",
        "path_escape",
    ]


@pytest.mark.parametrize(
    ("opening", "anchors", "anchors_required"),
    [
        ("@@\n", (), False),
        ("", (), False),
        ("@@ def f():\n", (b"def f():",), False),
        ("@@ class A:\n@@     def f():\n", (b"class A:", b"    def f():"), True),
        ("@@ class A:\n\n@@ def f(): @@\n", (b"class A:", b"def f():"), True),
        ("@@ class A:\n@@\n", (b"class A:",), True),
        ("@@\n@@ class A:  \r\n", (b"class A:",), True),
        ("@@\n@@\n", (), False),
        ("@@ ... @@\n", (), False),
    ],
)
def test_lines_after_the_marks_are_anchors_outermost_first(opening, anchors, anchors_required):
    [hunk] = hunks_of(opening + " x\n-y\n")
    assert (hunk.anchors, hunk.anchors_required, hunk.line_hint, signed(hunk)) == (
        anchors,
        anchors_required,
        None,
        " x\n-y\n",
    )


@pytest.mark.parametrize("header", ["@@ -3,2 +5,1 @@", "@@ -3 +5 @@ def f():", "@@ -3,2 +5"])
def test_line_numbers_after_the_marks_are_hints_and_no_anchor(header):
    [hunk] = hunks_of(header + "\n x\n-y\n")
    assert (hunk.anchors, hunk.line_hint, hunk.new_line_hint) == ((), 3, 5)


@pytest.mark.parametrize(
    ("body", "at_eof"),
    [
        ("@@\n+x\n", True),
        ("@@\n+x\n*** End of File\n", True),
        ("@@\n-y\n+x\n*** End of File\n\n", True),
        ("@@\n-y\n+x\n", False),
        ("@@ anchor\n+x\n", False),
        ("@@ -3,0 +4,1 @@\n+x\n", False),
    ],
)
def test_a_hunk_marked_with_end_of_file_or_without_old_lines_is_at_the_end(body, at_eof):
    [hunk] = hunks_of(body)
    assert hunk.at_eof == at_eof


def test_a_blank_line_behind_a_hunk_is_a_gap_unless_the_end_of_the_file_follows():
    first, second = hunks_of("@@\n\n x\n\n-y\n\n\n@@\n-z\n\n*** End of File\n")
    assert signed(first) == " \n x\n \n-y\n"
    assert signed(second) == "-z\n \n"
    [last] = hunks_of("-z\n \n")
    assert signed(last) == "-z\n \n"


def test_words_of_the_envelope_behind_a_sign_are_content():
    words = [
        "*** Begin Patch",
        "*** End Patch",
        "*** Update File: b",
        "*** End of File",
        "@@",
        "```",
        "EOF",
        "<<EOF",
    ]
    body = "".join(f" {word}\n+{word}\n" for word in words)
    for text in (
        enveloped("*** Update File: a.py\n@@\n", body),
        "*** Update File: a.py\n@@\n" + body,
    ):
        [section] = parse_envelope(text.encode()).sections
        assert [signed(hunk) for hunk in section.hunks] == [body]
    added = "".join(f"+{word}\n" for word in words)
    assert outcome({}, envelope("*** Add File: n\n", added))["n"].decode() == added.replace("+", "")


def test_a_text_with_crlf_keeps_it_in_every_line_also_in_a_last_one_without_an_end():
    made = patch("@@\r\n one\r\n-two\r\n+2", path="a.py")
    assert outcome({"a.py": FILE.replace(b"\n", b"\r\n")}, made) == {
        "a.py": b"one\r\n2\r\nthree\r\n"
    }
    text = enveloped("*** Add File: n.py\n+a\n").replace("\n", "\r\n")
    assert outcome({}, patch(text)) == {"n.py": b"a\r\n"}


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("@@\nbad\n", 4, "neither a space"),
        ("@@\n-two\n+TWO\nbad\n", 6, "neither a space"),
        ("@@\n-two\n+TWO\n*** End of File\n-one\n", 7, "no @@ opens another"),
        ("@@\n*** End of File\n", 3, "has no lines"),
        ("@@ one\n\n", 3, "has no lines"),
        ("@@\n-two\n+TWO\n*** Oops\n", 6, "does not begin the part of a file"),
    ],
)
def test_a_line_that_belongs_to_no_hunk_is_never_dropped_in_silence(body, line, words):
    code, at, message = fault(body)
    assert (code, at, words in message) == ("malformed", line, True), message


def test_a_marker_sent_twice_hides_no_hunk_behind_it():
    assert len(hunks_of("@@\n-one\n*** End of File\n*** End of File\n@@\n-two\n")) == 2


def test_bare_hunks_change_the_file_beside_them():
    for text in (
        "@@\n-two\n+TWO",
        "```\n-two\n+TWO\n```\n",
        "@@\n-two\n+TWO\n*** End Patch\n",
        enveloped(UPDATE),
        UPDATE,
    ):
        assert outcome(A, patch(text, path="a.py")) == CHANGED
    assert outcome(A, patch("@@\n-two\n+TWO\n", path="a.py", to="b.py")) == {
        "b.py": CHANGED["a.py"]
    }


def test_bare_hunks_know_the_name_of_no_other_file():
    assert only_fault(A, patch(enveloped(UPDATE), path="b.py")).pointer == "/changes/0/path"
    assert only_fault(A, patch(enveloped(UPDATE), path="a.py", create=True)).code == "malformed"
    assert only_fault(A, patch(enveloped(UPDATE, UPDATE), path="a.py")).code == "malformed"
    assert only_fault(A, patch("@@\n-two\n+TWO\n")).code == "malformed"


@pytest.mark.parametrize(("text", "code"), [("oops", "malformed"), ("```\n-two\n", "truncated"), ("\n", "malformed"),
                                            ("-two\n*** Oops\n", "malformed")])  # fmt: skip
def test_bare_text_that_is_no_hunk_is_refused(text, code):
    assert only_fault(A, patch(text, path="a.py")).code == code


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("+a\n+b\n+", b"a\nb\n"),
        ("+a\n+b", b"a\nb"),
        ("+a\n+b\n", b"a\nb"),
        ("+a\r\n+b\r\n+", b"a\r\nb\r\n"),
        ("+", b""),
        ("```\n+a\n+\n```", b"a\n"),
        (enveloped("*** Add File: n.py\n+a\n"), b"a\n"),
    ],
)
def test_bare_lines_of_a_new_file_end_in_a_newline_only_if_a_bare_sign_follows(text, data):
    assert outcome({}, patch(text, path="n.py", create=True)) == {"n.py": data}


@pytest.mark.parametrize(
    "text", ["plain line", "+a\nplain", "+a\n\n+b", "+a\n*** Oops\n+b", "@@\n+a", "\n"]
)
def test_a_new_file_has_a_sign_before_every_line(text):
    assert only_fault({}, patch(text, path="n.py", create=True)).code == "malformed"


def test_a_new_file_never_replaces_one():
    assert only_fault(A, patch("+x", path="a.py", create=True)).code == "exists"
    assert (
        only_fault(A, patch("+one\n+two\n+three\n+", path="a.py", create=True)).code
        == "already_applied"
    )


def test_a_file_in_another_encoding_takes_ascii_and_nothing_else():
    latin = {"a.py": b"caf\xe9\ntwo\n"}
    assert outcome(latin, patch("@@\n-two\n+2\n", path="a.py")) == {"a.py": b"caf\xe9\n2\n"}
    assert only_fault(latin, patch("@@\n-two\n+th\u00e9\n", path="a.py")).code == "encoding"


def test_lines_without_anything_to_find_go_to_the_end_or_below_their_anchor():
    assert outcome(A, patch("@@\n+four\n", path="a.py")) == {"a.py": FILE + b"four\n"}
    assert outcome(A, patch("@@ one\n+and\n", path="a.py")) == {"a.py": b"one\nand\ntwo\nthree\n"}
    assert only_fault(A, patch("@@ nowhere\n+and\n", path="a.py")).code == "no_match"


def test_anchors_select_one_of_equal_places_and_stacked_ones_must_exist():
    files = {"a.py": b"class A:\n  def f():\n    pass\nclass B:\n  def f():\n    pass\n"}
    hunk = "-    pass\n+    return\n"
    assert outcome(files, patch("@@ class B:\n@@   def f():\n" + hunk, path="a.py"))[
        "a.py"
    ].endswith(b"return\n")
    assert (
        only_fault(files, patch("@@ class C:\n@@   def f():\n" + hunk, path="a.py")).code
        == "no_match"
    )
    assert only_fault(files, patch("@@\n" + hunk, path="a.py")).code == "ambiguous"


@pytest.mark.parametrize(
    "text",
    [
        "*** Begin Patch\n" * 200_000,
        "<<EOF\n*** Begin Patch\n*** End Patch\n" * 50_000,
        "*** Begin Patch\n*** Update File: a\n" + "@@\n+x\n" * 100_000,
        enveloped("*** Add File: a\n", "\n" * 1_000_000, "x\n"),
        enveloped("*** Update File: a\n", "\n" * 1_000_000, "@@\n" * 100_000),
        enveloped("*** Update File: a\n", "@@ a\n\n\n" * 100_000, "bad\n" * 100_000),
        "cd x\n" * 100_000 + "<" * 1_000_000 + "\n" + enveloped(),
        "`" * 1_000_000 + "\n" + UPDATE,
    ],
    ids=range(8),
)
def test_hostile_text_is_read_in_one_pass(text):
    parsed = parse_envelope(text.encode())
    assert parsed.faults or any(section.faults for section in parsed.sections)
    for bare in (parse_bare_hunks(text.encode(), "a", "a"), parse_new_file(text.encode(), "a")):
        assert bare.faults or bare.sections[0].faults


NAMES = st.from_regex(r"[a-z]{1,6}(/[a-z]{1,6}){0,2}", fullmatch=True)
ANCHORS = st.from_regex(r" {0,8}[a-z_][a-z() :=.]{0,12}[a-z:)]", fullmatch=True).map(str.encode)
DATA = st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"") + b"\n")


@st.composite
def hunks(draw: st.DrawFn) -> Hunk:
    lines = draw(
        st.lists(
            st.builds(HunkLine, st.sampled_from(" -+"), DATA, st.just(0)), min_size=1, max_size=5
        )
    )
    anchors = tuple(draw(st.lists(ANCHORS, max_size=3)))
    hints = draw(st.sampled_from([(None, None), (3, 4)]))
    floating = not anchors and hints[0] is None and all(line.sign == "+" for line in lines)
    anchors_required = len(anchors) > 1 or (
        len(anchors) == 1 and hints[0] is None and draw(st.booleans())
    )
    return Hunk(
        0, tuple(lines), 0, *hints, anchors, floating or draw(st.booleans()), anchors_required
    )


@st.composite
def sections(draw: st.DrawFn) -> Section:
    verb: Verb = draw(st.sampled_from(["create", "delete", "change", "move"]))
    path = draw(NAMES)
    target = path + "2" if verb == "move" else path
    if verb == "create":
        lines = tuple(HunkLine("+", data, 0) for data in draw(st.lists(DATA, max_size=4)))
        return Section(0, "create", path, path, (Hunk(0, lines, 0),) if lines else ())
    made = []
    if verb != "delete":
        made = draw(st.lists(hunks(), min_size=verb == "change", max_size=3))
    return Section(
        0, verb, path, target, tuple(replace(hunk, number=at) for at, hunk in enumerate(made))
    )


PARSED_PATCHES = st.lists(sections(), min_size=1, max_size=4).map(
    lambda made: ParsedPatch(tuple(made))
)


def unnumbered(parsed: ParsedPatch) -> ParsedPatch:
    """The patch without the line numbers of its text."""

    def plain(hunk: Hunk) -> Hunk:
        return replace(
            hunk, patch_line=0, lines=tuple(replace(line, patch_line=0) for line in hunk.lines)
        )

    return replace(
        parsed,
        sections=tuple(
            replace(section, patch_line=0, hunks=tuple(map(plain, section.hunks)))
            for section in parsed.sections
        ),
    )


@given(
    PARSED_PATCHES,
    st.sampled_from(
        [b"%s", b"Look:\n```\n%s```\n", b"apply_patch <<'EOF'\n%sEOF\n", b"%s\n\nBye."]
    ),
)
def test_reading_what_was_rendered_is_the_identity(parsed, wrapping):
    text = wrapping % render_envelope(parsed)
    again = parse_envelope(text)
    assert unnumbered(again) == parsed
    sent = text.split(b"\n")
    for section in again.sections:
        for line in (line for hunk in section.hunks for line in hunk.lines):
            assert sent[line.patch_line - 1] + b"\n" == line.sign.encode() + line.data
    assert unnumbered(parse_envelope(render_sections(parsed))) == parsed


PIECES = """*** Begin Patch|*** End Patch|*** Update File: a.py|*** Add File: n|*** Delete File: a.py|*** Move to: b|
*** End of File|@@|@@ one|@@ -1 +1 @@| one|-two|+2||x|```|<<EOF|EOF| *** End Patch|\\ No newline at end of file|
--- a.py|+++ a.py|+""".replace("\n", "").split("|")
BESIDE = [{}, {"path": "a.py"}, {"path": "a.py", "to": "c"}, {"path": "n", "create": True}]


@given(
    st.lists(st.sampled_from(PIECES), min_size=1),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(BESIDE),
)
def test_whatever_is_sent_ends_in_a_plan_or_a_refusal(pieces, end, beside):
    with suppress(PatchRefused):
        plan(A, patch(end.join(pieces) + end, **beside))
