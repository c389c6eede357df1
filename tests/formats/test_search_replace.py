"""Search/replace blocks as aider, Cline and Roo teach them to models, and as
models get them wrong.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_cursor_runner.formats.blocks.parsing import Block, parse_blocks
from gpt_cursor_runner.patch.faults import PatchRefused
from tests.formats.builders import codes, only_fault, outcome, plan, refusal
from tests.formats.rendering import render_blocks

FILES = {"a.py": b"one\ntwo\nthree\n", "src/b.py": b"two\nfour\n", "Makefile": b"two\n"}
BLOCK = "<<<<<<< SEARCH\ntwo\n=======\nTWO\n>>>>>>> REPLACE\n"
CHANGED = b"one\nTWO\nthree\n"


def blocks(text: str, **more: object) -> dict[str, object]:
    return {"type": "search_replace", "text": text, **more}


def block(old: str, new: str) -> str:
    return f"<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"


def test_a_block_replaces_the_lines_it_searches():
    made = plan(FILES, blocks("a.py\n" + BLOCK))
    assert [(action.path, action.after and action.after.data) for action in made.actions] == [
        ("a.py", CHANGED)
    ]
    assert [(hunk.hunk, hunk.line, hunk.rung) for hunk in made.hunks] == [(0, 2, "exact")]


@pytest.mark.parametrize(
    "text",
    [
        "<<<<< SEARCH\ntwo\n=====\nTWO\n>>>>> REPLACE\n",
        "<<<<<<<<< SEARCH  \ntwo\n=========\t\nTWO\n>>>>>>>>> REPLACE \n",
        "<<<<<<< SEARCH>\ntwo\n=======\nTWO\n>>>>>>> REPLACE",
        "<<<<<<< ORIGINAL\ntwo\n=======\nTWO\n>>>>>>> UPDATED\n",
        "------- SEARCH\ntwo\n=======\nTWO\n+++++++ REPLACE\n",
        "--- SEARCH\ntwo\n==========\nTWO\n++++++++++++ REPLACE\n",
        "<<<<<<< SEARCH\ntwo\n=======\nTWO\n+++++++ REPLACE\n",
        (
            "<<<<<<< SEARCH\n:start_line:2\n:end_line: 2\n-------\ntwo\n=======\nTWO\n>>>>>>>"
            " REPLACE\n"
        ),
        "  <<<<<<< SEARCH\ntwo\n  =======\nTWO\n  >>>>>>> REPLACE\n",
        (
            "&lt;&lt;&lt;&lt;&lt;&lt;&lt; SEARCH\ntwo\n=======\nTWO\n&gt;&gt;&gt;&gt;&gt;&gt;&gt;"
            " REPLACE\n"
        ),
        "<<<<<<< SEARCH&gt;\ntwo\n=======\nTWO\n>>>>>>> REPLACE\n",
        BLOCK.replace("\n", "\r\n"),
    ],
)
def test_every_dialect_and_every_slip_beyond_doubt_is_read(text: str):
    assert outcome(FILES, blocks(text, path="a.py"))["a.py"] == CHANGED


@pytest.mark.parametrize(
    "above",
    [
        "a.py\n",
        "a.py\n\n```python\n",
        "```\na.py\n",
        "```python a.py\n",
        "````a.py\n",
        "```python:a.py\n",
        '```py title="a.py"\n',
        "```python\na.py\n```\n```python\n",
        "~~~~ {a.py}\n",
        "a.py\n```vb.net\n",
        "a.py\n<source>\n",
        "### `a.py`\n",
        "**a.py**:\n",
        "**File:** `a.py`\n",
        "# File path: a.py\n",
        "1. `a.py` (modified)\n",
        "// ./a.py\n",
        "<!-- a.py -->\n",
        "<path>a.py</path>\n<diff>\n",
        "Done with src/b.py.\n\nNow change `a.py`:\n\n```\n",
        "I was thinking of src/b.py first.\n\na.py\n",
    ],
)
def test_the_file_is_named_above_the_block_or_in_its_fence(above: str):
    assert outcome(FILES, blocks(above + BLOCK + "```\n\nThat is all.\n"))["a.py"] == CHANGED


def test_a_name_without_a_dot_is_one_when_the_file_is_there():
    assert outcome(FILES, blocks("Makefile\n" + BLOCK))["Makefile"] == b"TWO\n"
    assert (
        only_fault(FILES, blocks("Result\n" + BLOCK)).message
        == "block 1 does not name the file that it is for"
    )


@pytest.mark.parametrize(
    "above",
    ["e.g.\n", "...\n", "https://example.org/b.py\n", "See src/b.py\n", "The change:\n", ""],
)
def test_a_line_that_is_no_name_leaves_the_path_beside_the_text(above: str):
    assert outcome(FILES, blocks(above + BLOCK, path="a.py"))["a.py"] == CHANGED


def test_a_name_in_the_text_counts_more_than_the_path_beside_it():
    assert outcome(FILES, blocks("src/b.py\n" + BLOCK, path="a.py"))["src/b.py"] == b"TWO\nfour\n"


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.py", ".git/hooks/x", "a\\b.py"])
def test_a_name_that_leaves_the_repository_is_refused(name: str):
    assert codes(refusal(FILES, blocks(name + "\n" + BLOCK))) == ["path_escape"]


def test_blocks_in_a_row_inherit_the_name():
    text = (
        "a.py\n```\n" + BLOCK + "```\n\nAnd then:\n\n```\n" + block("three\n", "THREE\n") + "```\n"
    )
    assert outcome(FILES, blocks(text))["a.py"] == b"one\nTWO\nTHREE\n"


def test_a_name_is_not_inherited_past_a_sentence_about_another_file():
    fault = only_fault(
        FILES, blocks("a.py\n" + block("one\n", "1\n") + "\nsrc/b.py needs it too.\n" + BLOCK)
    )
    assert (fault.code, fault.hunk, fault.patch_line) == ("malformed", 1, 9)
    assert (
        fault.message
        == "block 2 may be for a.py, as the block before it, or for src/b.py, which the text above it names"
    )


def test_blocks_may_come_in_any_order_and_build_on_one_another():
    text = "a.py\n" + block("three\n", "3\n") + block("one\n", "1\n") + block("1\ntwo\n", "1\n2\n")
    assert outcome(FILES, blocks(text))["a.py"] == b"1\n2\n3\n"


def test_a_start_line_selects_one_of_equal_places():
    text = "<<<<<<< SEARCH\n:start_line:{}\n-------\nx\n=======\ny\n>>>>>>> REPLACE\n"
    files = {"a.py": b"x\n1\n2\n3\nx\n"}
    assert outcome(files, blocks(text.format(5), path="a.py"))["a.py"] == b"x\n1\n2\n3\ny\n"
    assert codes(refusal(files, blocks(text.format(3), path="a.py"))) == ["ambiguous"]


def test_an_empty_replace_deletes_the_lines():
    assert outcome(FILES, blocks("a.py\n" + block("two\n", "")))["a.py"] == b"one\nthree\n"


@pytest.mark.parametrize("files", [{}, {"n/new.py": b""}], ids=["absent", "empty"])
def test_an_empty_search_gives_a_new_or_empty_file_its_contents(files: dict[str, bytes]):
    text = "n/new.py\n" + block("", "x\ny\n") + block("y\n", "Y\n")
    assert outcome(files, blocks(text)) == {"n/new.py": b"x\nY\n"}


def test_an_empty_search_neither_replaces_nor_appends_to_a_file_that_holds_something():
    assert codes(refusal(FILES, blocks("a.py\n" + block("", "x\n")))) == ["exists"]
    assert codes(refusal(FILES, blocks("a.py\n" + block("\n", "x\n")))) == ["exists"]
    assert codes(refusal(FILES, blocks("a.py\n" + block("", FILES["a.py"].decode())))) == [
        "already_applied"
    ]


def test_blocks_without_effect_are_refused():
    same, nothing = blocks("a.py\n" + block("two\n", "two\n")), blocks("new.py\n" + block("", ""))
    assert only_fault(FILES, same).message == "block 1 replaces its lines by the same lines"
    assert only_fault(FILES, nothing).message == "block 1 has neither old nor new lines"


def test_escaped_markers_are_contents():
    text = block(
        "\\<<<<<<< HEAD\n\\=======\n\\>>>>>>> other\n", "\\\\=======\n\\:start_line:1\n\\n\n"
    )
    files = {"a.py": b"x\n<<<<<<< HEAD\n=======\n>>>>>>> other\n"}
    assert (
        outcome(files, blocks(text, path="a.py"))["a.py"] == b"x\n\\=======\n:start_line:1\n\\n\n"
    )


def test_a_divider_as_long_as_the_marker_is_no_line_under_a_heading():
    text = block("Title\n=====\n", "Heading\n=========\n")
    assert (
        outcome({"a.md": b"Title\n=====\n"}, blocks(text, path="a.md"))["a.md"]
        == b"Heading\n=========\n"
    )


def test_comments_and_rules_in_contents_are_no_markers():
    text = "------- SEARCH\n-- SEARCH\n-------\n=======\n+++ x\n    =======\n+++++++ REPLACE\n"
    assert (
        outcome({"a.sql": b"-- SEARCH\n-------\n"}, blocks(text, path="a.sql"))["a.sql"]
        == b"+++ x\n    =======\n"
    )


def test_entities_are_undone_where_the_markers_are_entities_too():
    marked = (
        "&lt;&lt;&lt;&lt;&lt;&lt;&lt; SEARCH\n{}\n=======\n{}\n&gt;&gt;&gt;&gt;&gt;&gt;&gt;"
        " REPLACE\n"
    )
    files = {"a.py": b"a < b\n"}
    made = outcome(
        files, blocks(marked.format("a &lt; b", "a &amp;&amp; &quot;b&quot;"), path="a.py")
    )
    assert made["a.py"] == b'a && "b"\n'
    assert outcome(files, blocks(block("a < b\n", "&lt;\n"), path="a.py"))["a.py"] == b"&lt;\n"


def test_entities_in_a_block_that_is_partly_plain_are_refused():
    encoded = "&lt;&lt;&lt;&lt;&lt;&lt;&lt; SEARCH\ntwo\n=======\n{}\n>>>>>>> REPLACE\n"
    assert outcome(FILES, blocks(encoded.format("TWO"), path="a.py"))["a.py"] == CHANGED
    for text in (encoded.format("&lt;"), encoded.format("&lt; <").replace(">>>>>>>", "&gt;" * 7)):
        doubtful = only_fault(FILES, blocks(text, path="a.py"))
        assert (doubtful.code, doubtful.patch_line) == ("malformed", 4)


def test_line_numbers_copied_from_a_view_are_dropped():
    shown = "1 | one\n2 | two\n"
    assert outcome(FILES, blocks("a.py\n" + block(shown, "one\n2\n")))["a.py"] == b"one\n2\nthree\n"
    assert (
        outcome(FILES, blocks("a.py\n" + block(shown, "1 | one\n2 |   2\n")))["a.py"]
        == b"one\n  2\nthree\n"
    )


def test_numbers_that_do_not_count_on_are_contents():
    assert codes(refusal(FILES, blocks("a.py\n" + block("1 | one\n3 | two\n", "x\n")))) == [
        "no_match"
    ]


def test_line_numbers_say_which_of_equal_lines_is_meant():
    files = {"a.py": b"x\n1\n2\n3\nx\n"}
    assert outcome(files, blocks(block(" 5 | x\n", ""), path="a.py"))["a.py"] == b"x\n1\n2\n3\n"


def test_numbers_that_the_file_holds_itself_stay():
    files = {"a.txt": b"one\n1 | one\n"}
    assert (
        outcome(files, blocks(block("1 | one\n", "1 | two\n"), path="a.txt"))["a.txt"]
        == b"one\n1 | two\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "2 | two\n",
            "2 | TWO\nmore\n",
            "block 1 has line numbers before only some of its new lines",
        ),
        ("3 | two\n4 | three\n", "x\n", "block 1 numbers its lines 3 to 4, but a.py has 3 lines"),
    ],
)
def test_line_numbers_that_leave_a_doubt_are_refused(old: str, new: str, message: str):
    fault = only_fault(FILES, blocks("a.py\n" + block(old, new)))
    assert (fault.code, fault.message) == ("malformed", message)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("<<<<<<< SEARCH\ntwo\n=======\nTWO\n", "truncated", 1),
        ("<<<<<<< SEARCH\ntwo\n", "truncated", 1),
        ("<<<<<<< SEARCH\ntwo\n=======\nTWO\n>>>>>>> REPL", "truncated", 1),
        ("<<<<<<< SEARCH\ntwo\n>>>>>>> REPLACE\n", "malformed", 3),
        ("<<<<<<< SEARCH\ntwo\n=======\n=======\n>>>>>>> REPLACE\n", "malformed", 4),
        ("------- SEARCH\ntwo\n======= \nTWO\n+++++++ REPLACE\n", "malformed", 5),
        ("<<<<<<< SEARCH\ntwo\n" + BLOCK, "malformed", 3),
        ("<<<<<<< SEARCH\ntwo\n=======\nTWO\n>>>>>>>REPLACE\n" + BLOCK, "malformed", 6),
        (BLOCK + ">>>>>>> REPLACE\n", "malformed", 6),
        ("=======\ntwo\n>>>>>>> REPLACE\n", "malformed", 3),
        ("<<<<<<<SEARCH\ntwo\n=======\nTWO\n>>>>>>> REPLACE\n", "malformed", 1),
        ("<<<< SEARCH\ntwo\n=======\nTWO\n>>>>>>> REPLACE\n", "malformed", 1),
        ("<<<<<<< SEARCH>>\ntwo\n=======\nTWO\n>>>>>>> REPLACE\n", "malformed", 1),
        ("<<<<<<< HEAD\ntwo\n=======\nTWO\n>>>>>>> other\n", "malformed", 1),
        ("<<<<<<< SEARCH\n<<<<<<< HEAD\n=======\nTWO\n>>>>>>> REPLACE\n", "malformed", 2),
        ("<<<<<<< SEARCH\ntwo\n=======\n:start_line:2\nTWO\n>>>>>>> REPLACE\n", "malformed", 4),
        ("No block at all.\n", "malformed", 1),
    ],
)
def test_a_broken_block_is_refused_with_its_line(text: str, code: str, line: int):
    first = refusal(FILES, blocks(text, path="a.py")).faults[0]
    assert (first.code, first.patch_line) == (code, line)


@pytest.mark.parametrize(
    "dialect", [BLOCK, BLOCK.replace("<" * 7, "-" * 7).replace(">" * 7, "+" * 7)]
)
def test_a_text_cut_off_anywhere_gives_whole_blocks_or_nothing(dialect: str):
    text = (
        "a.py\n```python\n" + dialect + "```\n\nsrc/b.py\n```python\n" + dialect.replace("TWO", "2")
    )
    second = text.index("src/b.py")
    for end in range(text.index("REPLACE") + 7, len(text) - 1):
        beginning = "```" in text[second:end] and text[second:end].strip("\n")[-1] not in "`-"
        try:
            after = outcome(FILES, blocks(text[:end]))
        except PatchRefused as refused:
            assert end > second, refused
        else:
            assert not beginning, text[second:end]
            assert after == {**FILES, "a.py": CHANGED}


def test_a_block_with_a_misspelt_beginning_gets_no_second_fault_for_its_end():
    assert (
        only_fault(FILES, blocks(BLOCK.replace(" SEARCH", "SEARCH"), path="a.py")).patch_line == 1
    )


def test_a_broken_block_does_not_hide_what_is_wrong_or_right_with_the_others():
    text = "a.py\n" + BLOCK + "<<<<<<< SEARCH\none\n" + block("four\n", "4\n") + "none.py\n" + BLOCK
    refused = refusal(FILES, blocks(text))
    assert [(fault.code, fault.hunk, fault.path) for fault in refused.faults] == [
        ("malformed", 1, "a.py"),
        ("no_match", 2, "a.py"),
        ("missing_file", None, "none.py"),
    ]
    assert [hunk.hunk for hunk in refused.good] == [0]


_LINES = st.sampled_from(
    [
        *(
            "",
            "x",
            "  y\t",
            "a.py",
            "```",
            "...",
            "&lt;",
            "1 | z",
            "\\",
            "\\x",
            "é",
            "---",
            "-- SEARCH",
            "=====",
            "=",
        ),
        *(
            "=======",
            "\\=======",
            "\\\\=======",
            "  =======",
            "-------",
            "<<<<<<< SEARCH",
            ">>>>>>> REPLACE",
            ">>>>>>> a",
        ),
        *(
            "------- SEARCH",
            "+++++++ REPLACE",
            ":start_line:3",
            "\\:end_line:3",
            "&lt;&lt;&lt;&lt;&lt; SEARCH",
            "# b.py:",
        ),
    ]
)


def _sides(end: str) -> st.SearchStrategy[tuple[tuple[bytes, int], ...]]:
    return st.lists(_LINES, max_size=6).map(
        lambda lines: tuple(((line + end).encode(), 0) for line in lines)
    )


_BLOCKS = st.sampled_from(["\n", "\r\n"]).flatmap(
    lambda end: st.builds(
        Block,
        number=st.just(0),
        patch_line=st.just(0),
        path=st.sampled_from(
            ["a.py", "src/[id].tsx", "__init__.py", ".gitignore", "with blank.txt", "Dockerfile"]
        ),
        old=_sides(end),
        new=_sides(end),
        line_hint=st.none() | st.integers(1, 99_999),
    )
)
_MARKERS = st.sampled_from(
    [
        (b"<<<<<<< SEARCH", b">>>>>>> REPLACE"),
        (b"------- SEARCH", b"+++++++ REPLACE"),
        (b"<<<<<<< ORIGINAL", b">>>>>>> UPDATED"),
    ]
)


@given(st.lists(_BLOCKS, min_size=1, max_size=4), _MARKERS)
def test_blocks_written_out_are_read_as_they_were(meant: list[Block], markers: tuple[bytes, bytes]):
    found, faults = parse_blocks(render_blocks(meant, *markers), None, lambda name: False)
    assert not faults
    assert [_without_places(block) for block in found] == [
        _without_places(block) for block in meant
    ]


def _without_places(block: Block) -> Block:
    old, new = (tuple((line, 0) for line, _ in side) for side in (block.old, block.new))
    return replace(block, number=0, patch_line=0, old=old, new=new)
