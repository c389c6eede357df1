"""One change under eighteen defects, in three formats: the bytes it gives or
its refusal, at `standard` and `merge`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from gpt_cursor_runner.patch.model import Tolerance
from tests.formats.builders import codes, diff, outcome, refusal

FILE = """\
import os


def greet(name):
    # say hello - to everybody
    message = "Hello, " + name

    print(message)
    return message


def leave():
    return None
"""
CHANGE = """\
 def greet(name):
     # say hello - to everybody
     message = "Hello, " + name

-    print(message)
+    print(message.title())
+    log(message)
     return message
""".replace("\n\n", "\n \n")
AFTER = FILE.replace("    print(message)\n", "    print(message.title())\n    log(message)\n")


@dataclass(frozen=True)
class Defect:
    """`after` is None when the change is refused, with `code`; `least` is the
    tolerance from which it is made.
    """

    name: str
    file: str = FILE
    change: str = CHANGE
    after: str | None = AFTER
    least: Tolerance = "standard"
    code: str = "no_match"
    numbers: str | None = None
    line_end: str = "\n"


def refused(
    name: str, code: str, file: str = FILE, change: str = CHANGE, numbers: str = "@@"
) -> Defect:
    return Defect(name, file, change, None, code=code, numbers=numbers)


def indented(text: str) -> str:
    return "".join(
        "    " + line if line.strip() else line for line in text.splitlines(keepends=True)
    )


def blanks_behind(text: str) -> str:
    return text.replace("greet(name):\n", "greet(name): \n").replace("+ name\n", "+ name\t\n")


def with_tabs(text: str) -> str:
    return text.replace("    ", "\t")


def without_end(text: str) -> str:
    return text.partition("\n\n\ndef leave")[0]


def curly(text: str) -> str:
    return text.replace('"Hello, "', "“Hello, ”")


TWICE = FILE + FILE.replace("import os\n", "")
DEFECTS = [
    Defect("none of them"),
    Defect("trailing blanks in the file", blanks_behind(FILE), after=blanks_behind(AFTER)),
    Defect(
        "a deleted line with trailing blanks",
        FILE.replace("print(message)\n", "print(message)  \n"),
    ),
    Defect("a patch outdented", indented(FILE), after=indented(AFTER)),
    Defect("tabs in the file, spaces in the patch", with_tabs(FILE), after=with_tabs(AFTER)),
    Defect("a CRLF file", FILE.replace("\n", "\r\n"), after=AFTER.replace("\n", "\r\n")),
    Defect("a CRLF patch", line_end="\r\n"),
    Defect("no newline at the end", without_end(FILE), after=without_end(AFTER)),
    Defect("curly quotes", curly(FILE), after=curly(AFTER)),
    Defect("a long dash", FILE.replace(" - ", " – "), after=AFTER.replace(" - ", " – ")),
    Defect(
        "a no-break space",
        FILE.replace("message = ", "message\u00a0= "),
        after=AFTER.replace("message = ", "message\u00a0= "),
    ),
    Defect(
        "a BOM",
        "\ufeff" + FILE,
        "-import os\n+import re\n \n \n def greet(name):\n",
        "\ufeff" + FILE.replace("import os", "import re"),
        numbers="@@ -1,4 +1,4 @@",
    ),
    refused("two equal places", "ambiguous", TWICE),
    Defect(
        "stale context",
        FILE.replace("everybody", "anybody"),
        after=AFTER.replace("everybody", "anybody"),
        least="merge",
    ),
    refused(
        "a stale deleted line", "no_match", FILE.replace("print(message)", "print(message, end='')")
    ),
    Defect(
        "a comment that the context skips",
        change=CHANGE.replace("     # say hello - to everybody\n", ""),
        least="merge",
    ),
    Defect("wrong line numbers", numbers="@@ -90,6 +95,7 @@"),
    Defect("wrong counts", numbers="@@ -4,2 +4,3 @@"),
    refused("already applied", "already_applied", AFTER),
    Defect(
        "an ellipsis",
        change=CHANGE.replace(
            '     # say hello - to everybody\n     message = "Hello, " + name\n \n', " ...\n"
        ),
    ),
    Defect("a blank line that the context lacks", change=CHANGE.replace(" \n", "")),
]


def side(defect: Defect, signs: str) -> list[str]:
    """The lines of the change with one of these signs, without it."""
    return [line[1:] for line in defect.change.splitlines(keepends=True) if line[0] in signs]


def unified_diff(defect: Defect) -> dict[str, object]:
    counted = f"@@ -4,{len(side(defect, ' -'))} +4,{len(side(defect, ' +'))} @@"
    return diff(
        f"--- a/a.py\n+++ b/a.py\n{defect.numbers or counted}\n{defect.change}".replace(
            "\n", defect.line_end
        )
    )


def search_replace(defect: Defect) -> dict[str, object]:
    old, new = ("".join(side(defect, signs)) for signs in (" -", " +"))
    text = f"a.py\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"
    return {"type": "search_replace", "text": text.replace("\n", defect.line_end)}


def apply_patch(defect: Defect) -> dict[str, object]:
    text = f"*** Begin Patch\n*** Update File: a.py\n@@\n{defect.change}*** End Patch\n"
    return {"type": "apply_patch", "text": text.replace("\n", defect.line_end)}


@pytest.mark.parametrize("tolerance", ["standard", "merge"])
@pytest.mark.parametrize("say", [unified_diff, search_replace, apply_patch])
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_change_with_a_defect_is_made_to_the_byte_or_refused(
    defect: Defect, say: Callable[[Defect], dict[str, object]], tolerance: Tolerance
):
    files = {"a.py": defect.file.encode()}
    if defect.after is None or (defect.least, tolerance) == ("merge", "standard"):
        assert codes(refusal(files, say(defect), tolerance=tolerance)) == [defect.code]
    else:
        assert outcome(files, say(defect), tolerance=tolerance)["a.py"].decode() == defect.after
