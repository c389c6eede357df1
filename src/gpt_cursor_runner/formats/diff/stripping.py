"""Which file of the repository a diff's names mean: `-p` as it was given, or
found out.

1. Names that differ in their first parts only lose these: `a/x` and `b/x`,
   `i/x` and `w/x`, `old/x` and `new/x`.
2. Names that are the same stay whole, unless only without their first part they
   name a file that is there.
3. What is new has no file to go by: it loses what the names of the other files
   lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from gpt_cursor_runner.formats.diff.files import FileDiff
from gpt_cursor_runner.formats.diff.names import common_strip, drop_parts, has_git_prefixes
from gpt_cursor_runner.patch.paths import parse_path

Standing = Callable[[str], bool]  # whether a file stands at this parsed path


class Stripping:
    """Source and target of each file of one diff."""

    def __init__(self, files: Sequence[FileDiff], strip: int | None, standing: Standing) -> None:
        self._strip = strip
        self._standing = standing
        self._usual = 0
        if strip is None and any(_is_alone(file) for file in files):
            found = Counter(_count for file in files for _count in self._counts_that_fit(file))
            self._usual = found.most_common(1)[0][0] if found else 0

    def paths(self, file: FileDiff) -> tuple[str, str]:
        """Parsed paths; they differ for a rename or a copy only.

        UnsafePath for a name that leaves the repository, ValueError when the
        names do not tell the file.
        """
        if file.said in ("rename", "copy"):
            return self._of_two(file)
        names = _names(file)
        if not names:
            raise ValueError("the diff does not say which file it is for")
        if self._strip is not None:
            choices = [drop_parts(name, self._strip) for name in names]
        else:
            choices = [
                dropped
                for count in self._counts(file)
                for name in names
                for dropped in _dropped(name, count)
            ]
        safe = [parse_path(name) for name in choices]
        path = safe[0] if file.creates else next(filter(self._standing, safe), safe[0])
        return path, path

    def _of_two(self, file: FileDiff) -> tuple[str, str]:
        # git writes these names without prefix, so one part less is dropped
        # from them.
        old, new = file.old.text or "", file.new.text or ""
        count = max((self._strip or 0) - 1, 0)
        source, target = parse_path(drop_parts(old, count)), parse_path(drop_parts(new, count))
        if self._strip is None and has_git_prefixes(old, new) and not self._standing(source):
            return parse_path(drop_parts(old, 1)), parse_path(drop_parts(new, 1))
        return source, target

    def _counts(self, file: FileDiff) -> list[int]:
        """How many parts to drop, the likeliest first."""
        old, new = file.header or (file.old.text, file.new.text)
        common = common_strip(old, new) if old is not None and new is not None else None
        if common:
            return [common, 0]
        if common is None and has_git_prefixes(old, new):
            return [1, 0]
        # With lines to find it is safe to look elsewhere; a file that is only
        # made, or gets a mode, goes where it says.
        elsewhere = [1] if file.hunks and not file.creates else []
        return list(dict.fromkeys([self._usual if _is_alone(file) else 0, 0, *elsewhere]))

    def _counts_that_fit(self, file: FileDiff) -> list[int]:
        if (
            file.said in ("rename", "copy")
            or _is_alone(file)
            or has_git_prefixes(file.old.text, file.new.text)
        ):
            return []
        for count in self._counts(file):
            for name in _names(file):
                if any(self._stands(dropped) for dropped in _dropped(name, count)):
                    return [count]
        return []

    def _stands(self, name: str) -> bool:
        try:
            return self._standing(parse_path(name))
        except ValueError:
            return False


def _is_alone(file: FileDiff) -> bool:
    """Whether a new file has one name only, and one that tells nothing of its
    prefix.
    """
    alone = file.header is None and file.creates and file.old.text is None
    return alone and not has_git_prefixes(None, file.new.text)


def _names(file: FileDiff) -> list[str]:
    sides = (None if file.deletes else file.new.text, None if file.creates else file.old.text)
    return [name for name in sides if name is not None]


def _dropped(name: str, count: int) -> list[str]:
    try:
        return [drop_parts(name, count)]
    except ValueError:
        return []
