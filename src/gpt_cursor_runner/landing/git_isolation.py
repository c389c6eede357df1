"""The command line and environment that make git independent of the
configuration of its user, its system and the repository.
"""

from __future__ import annotations

from pathlib import Path

AUTHOR_NAME = "GPT-Cursor Runner"
AUTHOR_EMAIL = "gpt-cursor-runner@localhost"
NO_HOOKS = Path("/dev/null")

# Settings by which a repository's own configuration could make git run a
# program, skip a step or decide otherwise.
_PINNED = {
    "core.fsmonitor": "false",
    # The default syncs packs only, and fast-import unpacks a small pack into
    # loose objects.
    "core.fsync": "committed,reference",
    # `batch` relies on the file system to order the writes.
    "core.fsyncMethod": "fsync",
    # Milliseconds. The default of 100 gives up on a busy disk.
    "core.filesRefLockTimeout": "1000",
    "core.quotePath": "false",
    "i18n.commitEncoding": "UTF-8",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    # Both would start a process in the background that outlives the command.
    "gc.auto": "0",
    "maintenance.auto": "false",
    "merge.autoStash": "false",
    "merge.conflictStyle": "merge",
    "merge.default": "text",
    # A change lands at the path that was planned, or not at all. Only git 2.50
    # and later obey these two in `merge-tree`: see `_refuse_strays` in
    # sealing.py.
    "merge.renames": "false",
    "merge.directoryRenames": "false",
    "merge.renormalize": "false",
    "merge.verifySignatures": "false",
    "protocol.ext.allow": "never",
    "submodule.recurse": "false",
}


def command_line(*arguments: str, hooks: Path = NO_HOOKS) -> list[str]:
    pins = ["-c", f"core.hooksPath={hooks}"]
    for name, value in _PINNED.items():
        pins += ["-c", f"{name}={value}"]
    return ["git", "--no-pager", "--literal-pathspecs", *pins, *arguments]


def git_environment(
    search_path: str, directory: Path | None = None, work_tree: Path | None = None
) -> dict[str, str]:
    """The complete environment of git. Without a `directory` git looks for the
    repository around its working directory.
    """
    environment = {
        "PATH": search_path,
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }
    for role in ("AUTHOR", "COMMITTER"):
        environment[f"GIT_{role}_NAME"] = AUTHOR_NAME
        environment[f"GIT_{role}_EMAIL"] = AUTHOR_EMAIL
    if directory is not None:
        environment["GIT_DIR"] = str(directory)
    if work_tree is not None:
        environment["GIT_WORK_TREE"] = str(work_tree)
    elif directory is not None:
        # Otherwise git would read attributes from the index of the owner.
        environment["GIT_INDEX_FILE"] = str(directory / "gcr-reads-no-index")
    return environment
