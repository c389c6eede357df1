"""Finding a foreign process once, and telling it again cheaply: the one place
that scans the table of processes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import psutil

_SCAN_APART_SECONDS = 2.0
# A scan may take no more than one part in so many of the time: two percent of a
# core.
_SCAN_SHARE = 50

_INTERPRETER = re.compile(
    r"(?:node|nodejs|bun|deno|tsx|ts-node|(?:python|pypy|ruby|perl|php|lua)[\d.]*|bash|dash|sh|zsh|ksh|fish|pwsh)"
    r"(?:\.exe)?"
)
# Code on the command line itself, or a module: there is no script then.
_INLINE = {
    "python": re.compile(r"-[a-zA-Z]*[cm].*"),
    "pypy": re.compile(r"-[a-zA-Z]*[cm].*"),
    "perl": re.compile(r"-[a-zA-Z0-9]*[eE].*"),
    "ruby": re.compile(r"-[a-zA-Z]*e.*"),
    "php": re.compile(r"-[rBRE].*"),
    "lua": re.compile(r"-e.*"),
    "shell": re.compile(r"-[a-zA-Z]*[cs][a-zA-Z]*|-Command"),
    "script": re.compile(r"-[pe]+|--eval(?:=.*)?|--print(?:=.*)?|eval|-"),
}
# Options that are followed by a value of their own.
_VALUED = {
    "python": {"-W", "-X", "--check-hash-based-pycs"},
    "pypy": {"-W", "-X"},
    "perl": {"-I"},
    "ruby": {"-I", "-r", "-C", "-E", "-W"},
    "php": {"-c", "-d", "-z"},
    "lua": {"-l"},
    "shell": {"-o", "+o", "-O", "+O", "--rcfile", "--init-file"},
    "script": {
        "-r",
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "-C",
        "--conditions",
        "--preload",
    }
    | {
        "--input-type",
        "--title",
        "--icu-data-dir",
        "-c",
        "--config",
        "--import-map",
        "--cert",
        "--cwd",
        "--tsconfig",
    },
}
_SUBCOMMANDS = {"bun": {"run", "x"}, "deno": {"run"}, "tsx": {"watch"}}


@dataclass(frozen=True)
class Found:
    """How the process stands: running, stopped (also by a debugger), zombie or
    absent.
    """

    standing: str
    pid: int | None = None


class Finder:
    """Remembers the process it found by its pid and moment of creation; scans
    only while it has none.
    """

    def __init__(
        self,
        is_it: Callable[[Sequence[str], str | None], bool],
        monotonic: Callable[[], float] = time.monotonic,
        processes: Callable[[], Iterable[psutil.Process]] = psutil.process_iter,
    ) -> None:
        self._is_it = is_it
        self._monotonic = monotonic
        self._processes = processes
        self._process: psutil.Process | None = None
        self._scan_at = float("-inf")

    def look(self) -> Found:
        """One look at the known process; a scan when there is none and one is
        due.
        """
        before = self._standing()
        if before.standing in ("running", "stopped"):
            return before
        if self._monotonic() >= self._scan_at and (process := self._scan()) is not None:
            self._process = process
            return self._standing()
        return before

    def _standing(self) -> Found:
        process = self._process
        if process is None:
            return Found("absent")
        try:
            status = process.status() if process.is_running() else "gone"
            if status == psutil.STATUS_ZOMBIE:
                return Found("zombie", process.pid)
            if status != "gone" and self._matches(process):
                is_stopped = status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
                return Found("stopped" if is_stopped else "running", process.pid)
        except psutil.NoSuchProcess:
            pass  # it ended between two questions
        self._process = None
        return Found("absent")

    def _scan(self) -> psutil.Process | None:
        began = self._monotonic()
        try:
            return next((one for one in self._processes() if self._matches(one)), None)
        finally:
            ended = self._monotonic()
            self._scan_at = ended + max(_SCAN_APART_SECONDS, _SCAN_SHARE * (ended - began))

    def _matches(self, process: psutil.Process) -> bool:
        try:
            arguments = process.cmdline()
            return bool(arguments) and self._is_it(arguments, _executable(process))
        except (psutil.Error, OSError):
            return False


def runs_script(name: str) -> Callable[[Sequence[str], str | None], bool]:
    """Tells an interpreter whose script has this file name from whatever else
    has the name on its command line.
    """

    def is_it(arguments: Sequence[str], executable: str | None) -> bool:
        interpreter = _interpreter(arguments[0], executable)
        return (
            interpreter is not None
            and PurePath(_script(interpreter, arguments[1:]) or "").name == name
        )

    return is_it


def is_program(name: str) -> Callable[[Sequence[str], str | None], bool]:
    """Tells a program by the name of its file; by what it calls itself only
    where the file cannot be seen.
    """

    def is_it(arguments: Sequence[str], executable: str | None) -> bool:
        return _base(executable or arguments[0]) == name

    return is_it


def _interpreter(called: str, executable: str | None) -> str | None:
    """Under which name it was called, when that is an interpreter's and its
    file does not contradict.
    """
    names = [_base(executable)] if executable and _base(executable) != "busybox" else []
    names = [name for name in [*names, _base(called)] if _INTERPRETER.fullmatch(name)]
    contradicted = executable is not None and _base(executable) not in (*names, "busybox")
    return None if contradicted or not names else names[-1]


def _script(interpreter: str, arguments: Sequence[str]) -> str | None:
    """The first argument that is neither an option nor an option's value; None
    when code comes from elsewhere.
    """
    family = _family(interpreter)
    left: Iterator[str] = iter(arguments)
    subcommands = _SUBCOMMANDS.get(interpreter.removesuffix(".exe"), set())
    for argument in left:
        if argument == "--":
            return next(left, None)
        if _INLINE[family].fullmatch(argument):
            return None
        if argument in _VALUED[family]:
            next(left, None)
        elif argument in subcommands:
            subcommands = set()
        elif not argument.startswith(("-", "+")):
            return argument
    return None


def _family(interpreter: str) -> str:
    name = interpreter.removesuffix(".exe").rstrip("0123456789.")
    if name in _INLINE:
        return name
    return "shell" if name.endswith("sh") else "script"


def _base(path: str) -> str:
    # A login shell calls itself -bash; a file that was replaced while it ran is
    # shown as deleted.
    return PurePath(path.removesuffix(" (deleted)")).name.removeprefix("-").removesuffix(".exe")


def _executable(process: psutil.Process) -> str | None:
    try:
        return process.exe() or None
    except (psutil.AccessDenied, OSError):  # another user's process
        return None
