"""The patch as pydantic models, the only shapes that higher floors use."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gpt_cursor_runner.patch.identity import PatchId
from gpt_cursor_runner.patch.paths import UnsafePath, parse_path

MAX_CHANGES = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")

Tolerance = Literal["strict", "standard", "merge"]


def _path(text: str) -> str:
    try:
        return parse_path(text)
    except UnsafePath as unsafe:
        context = {"reason": unsafe.message, "next_step": unsafe.next_step}
        raise PydanticCustomError("path_escape", "{reason}", context) from unsafe


def _id(text: str) -> str:
    try:
        return PatchId.parse(text).text
    except ValueError as illegal:
        raise PydanticCustomError("patch_id", "{reason}", {"reason": str(illegal)}) from illegal


def _one_line(text: str) -> str:
    line = text.strip()
    if not line:
        raise PydanticCustomError("empty_line", "this may not be blank")
    # A line break in the title would begin the body of the commit message.
    if _CONTROL.search(line):
        raise PydanticCustomError(
            "control_character", "this must be one line without control characters"
        )
    return line


def _short_mode(value: object) -> object:
    """Accept `100755`, `0755` and `755` alike."""
    if not isinstance(value, str):
        return value
    return value.removeprefix("100").removeprefix("0")


RepoPath = Annotated[str, AfterValidator(_path)]
OneLine = Annotated[str, Field(max_length=300), AfterValidator(_one_line)]
Mode = Annotated[Literal["644", "755"], BeforeValidator(_short_mode)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[int, Field(ge=0, le=10_000_000)]


class _Strict(BaseModel):
    # A misspelt member or a value of another type is a fault of the sender:
    # a guess would land something else than was meant.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Upsert(_Strict):
    """Write a whole file, new or not; with `on_exists: refuse` only a new one."""

    type: Literal["upsert"]
    path: RepoPath
    contents: str | None = None
    contents_b64: str | None = None
    mode: Mode | None = None
    expect_sha256: Sha256 | None = None
    on_exists: Literal["overwrite", "refuse"] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Upsert:
        if (self.contents is None) == (self.contents_b64 is None):
            raise PydanticCustomError("contents", "give exactly one of contents and contents_b64")
        try:
            self.data  # noqa: B018  decoded here so that bad base64 is a fault of the request
        except (binascii.Error, ValueError) as bad:
            raise PydanticCustomError("contents_b64", "contents_b64 is not base64") from bad
        return self

    @property
    def data(self) -> bytes:
        """The bytes to write."""
        if self.contents_b64 is not None:
            return base64.b64decode(self.contents_b64, validate=True)
        return (self.contents or "").encode()


class Delete(_Strict):
    type: Literal["delete"]
    path: RepoPath
    expect_sha256: Sha256 | None = None


class Move(_Strict):
    type: Literal["move"]
    # `from` is a keyword of Python.
    from_: RepoPath = Field(alias="from")
    to: RepoPath


class Chmod(_Strict):
    type: Literal["chmod"]
    path: RepoPath
    mode: Mode


class StrReplace(_Strict):
    """Replace a literal text. It must occur once, unless `occurrence` (from 1)
    or `replace_all` is given.
    """

    type: Literal["str_replace"]
    path: RepoPath
    old: str = Field(min_length=1)
    new: str
    replace_all: bool = False
    occurrence: Annotated[int, Field(ge=1)] | None = None
    line_hint: Line | None = None


class Insert(_Strict):
    """Insert `text` after line `after_line`; 0 is the top. `expect_line` is the
    required text of that line.
    """

    type: Literal["insert"]
    path: RepoPath
    after_line: Line
    text: str = Field(min_length=1)
    expect_line: str | None = None


class SearchReplace(_Strict):
    """Search/replace blocks; `path` names the file of blocks that do not name
    one themselves.
    """

    type: Literal["search_replace"]
    text: str = Field(min_length=1)
    path: RepoPath | None = None


class ApplyPatch(_Strict):
    """The `*** Begin Patch` envelope; with `path` also its bare hunks, with
    `create` the bare lines of a new file.

    With `to` the file at `path` is moved there as well.
    """

    type: Literal["apply_patch"]
    text: str = Field(min_length=1)
    path: RepoPath | None = None
    create: bool | None = None
    to: RepoPath | None = None


class UnifiedDiff(_Strict):
    """A diff, plain or git's. `strip` leading parts of its names are dropped,
    as `patch -p` does; without it their number is inferred.

    `fuzz` context lines of each hunk may differ, with tolerance `merge`. With
    `ignore_whitespace` runs of blanks match runs of any other length.
    """

    type: Literal["unified_diff"]
    text: str = Field(min_length=1)
    path: RepoPath | None = None
    strip: Annotated[int, Field(ge=0, le=10)] | None = None
    reverse: bool | None = None
    ignore_whitespace: bool = False
    fuzz: Annotated[int, Field(ge=0, le=100)] = 0


class Regex(_Strict):
    """The historical pattern and replacement; the search is limited in time."""

    type: Literal["regex"]
    path: RepoPath
    # The engine compiles a literal in time that grows with the cube of its
    # length, and the limit on time does not cover compilation.
    pattern: str = Field(min_length=1, max_length=1_000)
    replacement: str
    flags: Annotated[str, Field(pattern=r"^[imsx]*$")] = ""
    expect_matches: Annotated[int, Field(ge=1, le=10_000)] = 1


Change = Annotated[
    Upsert
    | Delete
    | Move
    | Chmod
    | StrReplace
    | Insert
    | SearchReplace
    | ApplyPatch
    | UnifiedDiff
    | Regex,
    Field(discriminator="type"),
]
ONE_CHANGE: TypeAdapter[Change] = TypeAdapter(Change)


class Patch(_Strict):
    """One id, one title, and an ordered list of changes."""

    id: Annotated[str, AfterValidator(_id)]
    title: OneLine
    changes: Annotated[tuple[Change, ...], Field(min_length=1, max_length=MAX_CHANGES)]
    repository: Annotated[str, Field(max_length=100)] | None = None
    base: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")] | None = None
    description: Annotated[str, Field(max_length=20_000)] | None = None
    role: Annotated[str, Field(max_length=200)] | None = None
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    mode: Literal["apply", "preview"] = "apply"
    tolerance: Tolerance = "standard"
    # The plan digest of a preview: the patch is refused when its plan now
    # differs.
    expect_plan: Sha256 | None = None
    # Command lists of the historical shapes: recorded and shown, never run.
    claimed_commands: tuple[str, ...] = ()

    @property
    def identity(self) -> PatchId:
        return PatchId.parse(self.id)

    def to_json(self) -> dict[str, Any]:
        # Without the absent members, so that a member that a later version adds
        # leaves the digests of stored patches as they are.
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def digest(self) -> str:
        """SHA-256 of the patch in canonical JSON, so that the order of members
        and defaults that are left out make no difference.
        """
        canonical = json.dumps(
            self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(canonical.encode()).hexdigest()
