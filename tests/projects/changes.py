"""Ten small changes to any project, each made by hand and as a patch."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt_cursor_runner.landing.hollow import is_source

_COMMENTS = {".py": "# {}", ".c": "/* {} */", ".h": "/* {} */", ".js": "// {}", ".rs": "// {}"}
_NOTE = "docs/maintenance-note.md"
_MOVED_NOTE = "docs/maintenance/note.md"
_NOTE_TEXT = "# Note\n\nThe release is made from this branch.\n"
# Their content decides the setup, so that a change waits for approval.
_NOT_CHANGED = ("setup.py", "conf.py")


@dataclass(frozen=True)
class Work:
    """A clone in which the changes are made by hand."""

    clone: Path

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=Hand", "-c", "user.email=hand@example.org", *arguments]
        done = subprocess.run(command, cwd=self.clone, check=True, capture_output=True)
        return done.stdout.decode()

    def changes(self) -> Iterator[dict[str, Any]]:
        """Each change as it is in a patch, after it was made in the clone."""
        first, second, third, fourth, fifth, sixth = self._sources()
        yield self._diff(first)
        yield self._insert(second)
        yield self._str_replace(third)
        yield self._upsert(fourth)
        yield self._write_note()
        yield self._move_note()
        yield self._chmod_note()
        yield self._delete_note()
        yield self._diff(fifth)
        yield self._insert(sixth)

    def commit(self) -> str:
        """Commit what was changed; return the tree."""
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--message", "By hand")
        return self.git("rev-parse", "HEAD^{tree}").strip()

    def _sources(self) -> list[Path]:
        chosen = []
        for name in self.git("ls-files", "-z").split("\0")[:-1]:
            path = self.clone / name
            is_usable = is_source(name) and path.suffix in _COMMENTS
            if is_usable and path.name not in _NOT_CHANGED and _is_plain(path.read_bytes()):
                chosen.append(path)
        # Small projects have fewer files than there are changes.
        repeated = chosen * 6
        return repeated[:6]

    def _diff(self, path: Path) -> dict[str, Any]:
        self._write(path, path.read_text() + self._comment(path, "The end."))
        self.git("add", "--all", "--force")
        return {"type": "unified_diff", "text": self.git("diff", "--cached")}

    def _insert(self, path: Path) -> dict[str, Any]:
        text = self._comment(path, "Reviewed.")
        self._write(path, text + path.read_text())
        return {"type": "insert", "path": self._name(path), "after_line": 0, "text": text}

    def _str_replace(self, path: Path) -> dict[str, Any]:
        content = path.read_text()
        old = content.splitlines()[0]
        new = f"{self._comment(path, 'Replaced.')}{old}"
        self._write(path, content.replace(old, new, 1))
        return {
            "type": "str_replace",
            "path": self._name(path),
            "old": old,
            "new": new,
            "occurrence": 1,
        }

    def _upsert(self, path: Path) -> dict[str, Any]:
        content = path.read_text() + self._comment(path, "Written again.")
        self._write(path, content)
        return {"type": "upsert", "path": self._name(path), "contents": content}

    def _write_note(self) -> dict[str, Any]:
        self._write(self.clone / _NOTE, _NOTE_TEXT)
        return {"type": "upsert", "path": _NOTE, "contents": _NOTE_TEXT}

    def _move_note(self) -> dict[str, Any]:
        (self.clone / _MOVED_NOTE).parent.mkdir(parents=True)
        (self.clone / _NOTE).rename(self.clone / _MOVED_NOTE)
        return {"type": "move", "from": _NOTE, "to": _MOVED_NOTE}

    def _chmod_note(self) -> dict[str, Any]:
        (self.clone / _MOVED_NOTE).chmod(0o755)
        return {"type": "chmod", "path": _MOVED_NOTE, "mode": "755"}

    def _delete_note(self) -> dict[str, Any]:
        (self.clone / _MOVED_NOTE).unlink()
        return {"type": "delete", "path": _MOVED_NOTE}

    def _comment(self, path: Path, text: str) -> str:
        return _COMMENTS[path.suffix].format(text) + "\n"

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.clone))

    def _write(self, path: Path, content: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _is_plain(content: bytes) -> bool:
    """Whether a comment can stand at both ends of a file."""
    is_text = b"\r" not in content and content.isascii()
    return is_text and content.endswith(b"\n") and not content.startswith(b"#!")
