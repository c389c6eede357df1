"""docs/formats.md: every example in it is planned, and changes the file as the
page shows.
"""

import json
import re
from pathlib import Path

import pytest

from gpt_cursor_runner.formats import three_way
from gpt_cursor_runner.formats.catalogue import FORMATS
from gpt_cursor_runner.formats.matching.ladder import LADDER
from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.formats.sniffing import sniff
from gpt_cursor_runner.patch.parsing import parse_patch
from tests.formats.builders import MemoryTree

PAGE = (Path(__file__).parents[2] / "docs/formats.md").read_text()
MARKED = re.compile(r"<!-- (file|example): (.+?) -->\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = MARKED.findall(PAGE)
FILES = {name: text.encode() for kind, name, text in BLOCKS if kind == "file"}
EXAMPLES = [(name, text) for kind, name, text in BLOCKS if kind == "example"]


def changes(name: str, text: str) -> list[dict[str, object]]:
    if name.startswith("json"):
        found = json.loads(text)
        return found if isinstance(found, list) else [found]
    kind, _, path = name.partition(" path=")
    return [{"type": kind, "text": text, **({"path": path} if path else {})}]


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_an_example_changes_the_file_as_the_page_shows(name, text):
    parsed = parse_patch({"id": "x", "title": "x", "changes": changes(name, text)})
    assert parsed.patch, parsed.faults
    plan = make_plan(parsed.sound, MemoryTree({"greeting.py": FILES["before"]}), "standard")
    outcome = {action.path: action.after.data for action in plan.actions if action.after}
    assert outcome == {"greeting.py": FILES["after"]}


@pytest.mark.parametrize(
    ("name", "text"), [one for one in EXAMPLES if not one[0].startswith("json")]
)
def test_a_raw_text_is_known_for_what_it_is(name, text):
    kind, _, path = name.partition(" path=")
    assert sniff(text, path or None)["type"] == kind


def test_the_page_describes_every_type_and_every_rung():
    headings = set(
        re.findall(
            r"`(\w+)`", "\n".join(line for line in PAGE.splitlines() if line.startswith("###"))
        )
    )
    assert headings == set(FORMATS)
    table = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert [tuple(re.findall(r"^\| `(\w+)` .* (\w+) \|$", row)[0]) for row in table] == [
        *((rung.name, rung.tolerance) for rung in LADDER),
        (three_way.RUNG, "merge"),
    ]
