"""Types of single settings: each checks its value, and its message names the
fix.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def refuse_duplicate_names(names: Iterable[str]) -> None:
    """Raise ValueError when a name is used twice."""
    seen_before = set()
    for name in names:
        if name in seen_before:
            raise ValueError(f"the name '{name}' is used twice; rename one")
        seen_before.add(name)


def _expand_user(path: Path) -> Path:
    return path.expanduser()


def _require_existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"{path} does not exist; correct the path, or remove it")
    return path


def _require_directory_or_absent(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise ValueError(
            f"{path} is not a directory; name another, it is created if it does not exist"
        )
    return path


def _resolve(path: Path) -> Path:
    return path.resolve()


def _check_web_address(url: str) -> str:
    if not url:
        return ""
    if not url.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    if not urlsplit(url).hostname:
        raise ValueError("must name a host")
    return url.rstrip("/")


def _check_database(database: str) -> str:
    if database != "sqlite":
        raise ValueError("this version supports 'sqlite' only")
    return database


def _check_branch(branch: str) -> str:
    # A leading dash would be read as an option of git; a full ref name would
    # become refs/heads/refs/heads/….
    if branch.startswith(("-", "refs/")) or not _is_one_word(branch):
        raise ValueError("must be a plain branch name like main")
    return branch


def _check_remote(remote: str) -> str:
    if remote and (remote.startswith("-") or not _is_one_word(remote)):
        raise ValueError("must be the name of a remote, like origin, or empty")
    return remote


def _check_script_name(name: str) -> str:
    if "/" in name or name != name.strip():
        raise ValueError("must be the bare file name of a script, like ghost-runner.js")
    return name


def _check_webhook_secret(secret: str) -> str:
    if not secret:
        return ""
    key = _decode_base64(secret.removeprefix("whsec_"))
    # The form and the bounds of the Standard Webhooks specification.
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError(
            "must be whsec_ and 24 to 64 bytes in base64, as `openssl rand -base64 32` prints them"
        )
    return secret


def _decode_base64(text: str) -> bytes:
    """The bytes; none for a text that is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _check_variable_name(name: str) -> str:
    if not name.isidentifier():
        raise ValueError("must be the name of an environment variable, like DATABASE_URL")
    return name


def _check_workspace_path(path: str) -> str:
    if not path or path.startswith(("/", "~")) or ".." in path.split("/"):
        raise ValueError("must be a path in the repository, like tests or pyproject.toml")
    return path


def _check_provided_path(path: str) -> str:
    _check_workspace_path(path)
    # The whole tree would hide the patch from the checks; .git is not in it.
    if PurePosixPath(path).parts[:1] in ((), (".git",)):
        raise ValueError("must be a directory that the command makes, like .venv")
    return str(PurePosixPath(path))


def _check_cache_path(path: str) -> str:
    if not path.startswith("~/"):
        _check_provided_path(path)
    elif ".." in path.split("/"):
        raise ValueError("must be a path like ~/.cache/pip or .pytest_cache")
    return path


def _is_one_word(text: str) -> bool:
    return text.split() == [text]


UserPath = Annotated[Path, AfterValidator(_expand_user)]
ExistingPath = Annotated[UserPath, AfterValidator(_require_existing)]
StatePath = Annotated[UserPath, AfterValidator(_require_directory_or_absent)]
# One that does not exist blocks the patches of this repository alone.
RepositoryPath = Annotated[UserPath, AfterValidator(_resolve)]
WebAddress = Annotated[str, AfterValidator(_check_web_address)]
DatabaseKind = Annotated[str, AfterValidator(_check_database)]
BranchName = Annotated[str, AfterValidator(_check_branch)]
RemoteName = Annotated[str, AfterValidator(_check_remote)]
ScriptName = Annotated[str, AfterValidator(_check_script_name)]
WebhookSecret = Annotated[str, AfterValidator(_check_webhook_secret)]
VariableName = Annotated[str, AfterValidator(_check_variable_name)]
WorkspacePath = Annotated[str, AfterValidator(_check_workspace_path)]
ProvidedPath = Annotated[str, AfterValidator(_check_provided_path)]
CachePath = Annotated[str, AfterValidator(_check_cache_path)]
