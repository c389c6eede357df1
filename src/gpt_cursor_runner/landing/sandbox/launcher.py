"""Prepares a process and replaces it by bubblewrap: another user, a fresh
keyring, the workspace as an overlay, limits.

Run as a program of its own (`python -I -S launcher.py ORDER COMMAND…`), so that
none of this happens between fork and exec of a process with threads. It imports
the standard library only. ORDER is the JSON of `orders.Order`.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import sys
from typing import Any

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_PR_SET_DUMPABLE = 4
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING = 1
_SIGPIPE = 13
_SIGXFSZ = 25

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    order = json.loads(sys.argv[1])
    command = sys.argv[2:]
    user = order["user"]
    _join_cgroups(order["cgroups"])
    if user is not None:
        _checked("unshare", _libc.unshare(_CLONE_NEWNS))
        _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
        _stage(order["stage"], order["staged"])
        _mount_overlay(order["overlay"], options="")
        _become(*user)
        if order["namespace"]:
            _enter_user_namespace(_CLONE_NEWUSER)
    elif order["namespace"]:
        _enter_user_namespace(_CLONE_NEWUSER | _CLONE_NEWNS)
        # Attributes of an overlay in a user namespace need names that its user
        # may set (Linux 5.11).
        _mount_overlay(order["overlay"], options=",userxattr")
    _join_new_keyring()
    _set_limits(order["limits"])
    _restore_signals()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise OSError(error.errno, f"{command[0]}: {error.strerror}") from error


def _join_cgroups(files: list[str]) -> None:
    for path in files:
        _write(path, "0")


def _stage(directory: str, sources: list[str]) -> None:
    """Bind each source to a numbered name in `directory`, where the other user
    can reach it: the directories above the source may be closed to that user.
    """
    os.makedirs(directory, mode=0o755, exist_ok=True)
    _mount("tmpfs", directory, "tmpfs", 0, "mode=0755")
    for number, source in enumerate(sources):
        place = f"{directory}/{number}"
        if os.path.isdir(source):
            os.mkdir(place)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
        _mount(source, place, None, _MS_BIND | _MS_REC)


def _mount_overlay(overlay: dict[str, Any] | None, options: str) -> None:
    if overlay is None:
        return
    os.makedirs(overlay["at"], exist_ok=True)
    # Numbers of open files instead of paths, which may contain the separators
    # of mount options. They are opened here, because the files must belong to
    # this mount namespace.
    lower = ":".join(_opened(path) for path in overlay["lower"])
    upper, work = _opened(overlay["upper"]), _opened(overlay["work"])
    data = f"lowerdir={lower},upperdir={upper},workdir={work}{options}"
    _mount("overlay", overlay["at"], "overlay", 0, data)


def _opened(path: str) -> str:
    return f"/proc/self/fd/{os.open(path, os.O_PATH | os.O_DIRECTORY)}"


def _become(uid: int, gid: int) -> None:
    # In this order: once the user is gone, so is the right to change groups.
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    # A change of user makes /proc/self root's, and so the maps of a user
    # namespace unwritable.
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def _enter_user_namespace(flags: int) -> None:
    """A namespace in which the user keeps its number: for mounts, and so that
    the limit of processes counts those of this command alone (Linux 5.14).
    """
    uid, gid = os.getuid(), os.getgid()
    _checked("unshare", _libc.unshare(flags))
    # The kernel accepts a map of groups from an unprivileged user only then
    # (Linux 3.19).
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")


def _join_new_keyring() -> None:
    """Leave the session keyring of the runner, whose keys the command could
    list and read. A kernel without keyrings has nothing to hide.
    """
    number = _KEYCTL.get(platform.machine())
    if number is not None:
        _libc.syscall(ctypes.c_long(number), _KEYCTL_JOIN_SESSION_KEYRING, None)


def _set_limits(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        number = getattr(resource, name)
        # Only root may raise a limit above the one that is inherited.
        _, hard = resource.getrlimit(number)
        allowed = value
        if hard != resource.RLIM_INFINITY:
            allowed = min(value, hard)
        resource.setrlimit(number, (allowed, allowed))


def _restore_signals() -> None:
    """Python ignores these two, and so would the command."""
    for number in (_SIGPIPE, _SIGXFSZ):
        _libc.signal(number, None)


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    arguments = [_encoded(source), _encoded(target), _encoded(kind)]
    result = _libc.mount(*arguments, ctypes.c_ulong(flags), _encoded(data))
    _checked(f"mount {kind or source or 'private'} on {target}", result)


def _encoded(text: str | None) -> bytes | None:
    if text is None:
        return None
    return os.fsencode(text)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _checked(action: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{action}: {os.strerror(number)}")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"launcher: {error.strerror or error}")
