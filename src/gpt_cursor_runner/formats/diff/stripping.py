"""Matches the names in a diff with files of the repository: strips leading
parts, by the given `-p` count or by a guess.

1. Names that differ only in their first parts lose these: `a/x` and `b/x`,
   `i/x` and `w/x`, `old/x` and `new/x`.
2. Names that are equal stay complete, unless only the name without its first
   part is that of an existing file.
3. For a new file there is no existing file to compare with: its name loses as
   many parts as the names of the other files lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from gpt_cursor_runner.formats.diff.files import FileDiff
from gpt_cursor_runner.formats.diff.names import common_strip, drop_parts, has_git_prefixes
from gpt_cursor_runner.patch.paths import parse_path

FileExists = Callable[[str], bool]  # for a parsed path


class Stripping:
    """Finds source and target of each file of one diff."""

    def __init__(
        self, files: Sequence[FileDiff], strip: int | None, file_exists: FileExists
    ) -> None:
        self._strip = strip
        self._file_exists = file_exists
        self._usual_count = 0
        if strip is None and any(map(_has_one_bare_name, files)):
            self._usual_count = self._most_frequent_count(files)

    def paths(self, file: FileDiff) -> tuple[str, str]:
        """Return the parsed paths of source and target; they differ only for a
        rename or a copy.

        Raises UnsafePath for a name that leaves the repository, and ValueError
        when the names do not determine the file.
        """
        if file.has_two_paths:
            return self._two_paths(file)
        names = _existing_names(file)
        if not names:
            raise ValueError("the diff does not name the file that it is for")
        paths = list(map(parse_path, self._stripped_names(file, names)))
        path = paths[0]
        if not file.creates:
            path = next(filter(self._file_exists, paths), path)
        return path, path

    def _stripped_names(self, file: FileDiff, names: Sequence[str]) -> list[str]:
        """The candidates for the file's path, the most probable first."""
        if self._strip is not None:
            return [drop_parts(name, self._strip) for name in names]
        stripped: list[str] = []
        for count in self._counts(file):
            stripped += _drop_where_possible(names, count)
        return stripped

    def _two_paths(self, file: FileDiff) -> tuple[str, str]:
        old, new = file.two_names
        if self._strip is not None:
            # git writes the names of a rename without prefix, so they have one
            # part less to lose.
            return _parse_two(old, new, max(self._strip - 1, 0))
        source, target = _parse_two(old, new, 0)
        if has_git_prefixes(old, new) and not self._file_exists(source):
            return _parse_two(old, new, 1)
        return source, target

    def _counts(self, file: FileDiff) -> list[int]:
        """The numbers of parts to drop, the most probable first."""
        old, new = file.git_names or (file.old.text, file.new.text)
        common = _common_count(old, new)
        if common:
            return [common, 0]
        if has_git_prefixes(old, new):
            return [1, 0]
        return self._counts_without_prefix(file)

    def _counts_without_prefix(self, file: FileDiff) -> list[int]:
        counts = [0]
        if _has_one_bare_name(file):
            counts.insert(0, self._usual_count)
        # Lines to find protect from the wrong file. A file that is only created
        # or gets a mode has none, so it keeps its name.
        if file.hunks and not file.creates:
            counts.append(1)
        return list(dict.fromkeys(counts))

    def _most_frequent_count(self, files: Sequence[FileDiff]) -> int:
        counts = Counter(self._matching_counts(filter(_has_telling_prefix, files)))
        if not counts:
            return 0
        return counts.most_common(1)[0][0]

    def _matching_counts(self, files: Iterable[FileDiff]) -> Iterator[int]:
        for file in files:
            count = self._matching_count(file)
            if count is not None:
                yield count

    def _matching_count(self, file: FileDiff) -> int | None:
        """The number of parts to drop from a file's name to get an existing
        path; None when no number does.
        """
        names = _existing_names(file)
        for count in self._counts(file):
            if any(map(self._is_file, _drop_where_possible(names, count))):
                return count
        return None

    def _is_file(self, name: str) -> bool:
        try:
            return self._file_exists(parse_path(name))
        except ValueError:
            return False


def _has_one_bare_name(file: FileDiff) -> bool:
    """Whether a new file has a single name, whose prefix is not evident."""
    if file.git_names is not None or not file.creates or file.old.text is not None:
        return False
    return not has_git_prefixes(None, file.new.text)


def _has_telling_prefix(file: FileDiff) -> bool:
    """Whether the prefix of a file's name is evidence for other files."""
    if file.has_two_paths or _has_one_bare_name(file):
        return False
    return not has_git_prefixes(file.old.text, file.new.text)


def _existing_names(file: FileDiff) -> list[str]:
    """The names of a file on the sides where it exists, the new one first."""
    sides = ((file.new.text, file.deletes), (file.old.text, file.creates))
    return [name for name, is_missing in sides if name is not None and not is_missing]


def _common_count(old: str | None, new: str | None) -> int | None:
    if old is None or new is None:
        return None
    return common_strip(old, new)


def _parse_two(old: str, new: str, count: int) -> tuple[str, str]:
    return parse_path(drop_parts(old, count)), parse_path(drop_parts(new, count))


def _drop_where_possible(names: Sequence[str], count: int) -> list[str]:
    stripped: list[str] = []
    for name in names:
        try:
            stripped.append(drop_parts(name, count))
        except ValueError:
            continue  # too short for this count
    return stripped
