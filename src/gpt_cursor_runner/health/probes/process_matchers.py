"""Recognizes a process by its program or by the script that it interprets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath

# Arguments of a process, the path of its executable (None when not readable).
Matcher = Callable[[Sequence[str], str | None], bool]

_INTERPRETER = re.compile(
    r"(?:node|nodejs|bun|deno|tsx|ts-node|(?:python|pypy|ruby|perl|php|lua)[\d.]*"
    r"|bash|dash|sh|zsh|ksh|fish|pwsh)(?:\.exe)?"
)
# Options that run code from the command line or a module: then no argument is a
# script.
_INLINE = {
    "python": re.compile(r"-[a-zA-Z]*[cm].*"),
    "pypy": re.compile(r"-[a-zA-Z]*[cm].*"),
    "perl": re.compile(r"-[a-zA-Z0-9]*[eE].*"),
    "ruby": re.compile(r"-[a-zA-Z]*e.*"),
    "php": re.compile(r"-[rBRE].*"),
    "lua": re.compile(r"-e.*"),
    "shell": re.compile(r"-[a-zA-Z]*[cs][a-zA-Z]*|-Command"),
    "javascript": re.compile(r"-[pe]+|--eval(?:=.*)?|--print(?:=.*)?|eval|-"),
}
# Options that take the next argument as their value.
_VALUED = {
    "python": frozenset({"-W", "-X", "--check-hash-based-pycs"}),
    "pypy": frozenset({"-W", "-X"}),
    "perl": frozenset({"-I"}),
    "ruby": frozenset({"-I", "-r", "-C", "-E", "-W"}),
    "php": frozenset({"-c", "-d", "-z"}),
    "lua": frozenset({"-l"}),
    "shell": frozenset({"-o", "+o", "-O", "+O", "--rcfile", "--init-file"}),
    "javascript": frozenset(
        {
            "-r",
            "--require",
            "--import",
            "--loader",
            "--experimental-loader",
            "-C",
            "--conditions",
            "--preload",
            "--input-type",
            "--title",
            "--icu-data-dir",
            "-c",
            "--config",
            "--import-map",
            "--cert",
            "--cwd",
            "--tsconfig",
        }
    ),
}
_SUBCOMMANDS = {"bun": {"run", "x"}, "deno": {"run"}, "tsx": {"watch"}}


def runs_script(name: str) -> Matcher:
    """Matches an interpreter whose script has this file name, and no other
    program with the name on its command line.
    """

    def matches(arguments: Sequence[str], executable: str | None) -> bool:
        interpreter = _interpreter(arguments[0], executable)
        if interpreter is None:
            return False
        script = _script(interpreter, arguments[1:])
        return script is not None and PurePath(script).name == name

    return matches


def is_program(name: str) -> Matcher:
    """Matches a program by the name of its executable, or by its first argument
    where the executable cannot be read.
    """

    def matches(arguments: Sequence[str], executable: str | None) -> bool:
        return _base_name(executable or arguments[0]) == name

    return matches


def _interpreter(first_argument: str, executable: str | None) -> str | None:
    """The name of the interpreter; None when the executable is none."""
    called = _base_name(first_argument)
    called_is_interpreter = _INTERPRETER.fullmatch(called) is not None
    # busybox is a shell or not, by the name under which it is called.
    if executable is None or _base_name(executable) == "busybox":
        return called if called_is_interpreter else None
    program = _base_name(executable)
    if not _INTERPRETER.fullmatch(program):
        return None
    # A process may call itself anything, so that the name in its first argument
    # counts only when it is an interpreter's too.
    return called if called_is_interpreter else program


def _script(interpreter: str, arguments: Sequence[str]) -> str | None:
    """The first argument that is neither an option nor the value of one; None
    when the code comes from elsewhere.
    """
    family = _family(interpreter)
    remaining: Iterator[str] = iter(arguments)
    subcommands = _SUBCOMMANDS.get(interpreter.removesuffix(".exe"), set())
    for argument in remaining:
        if argument == "--":
            return next(remaining, None)
        if _INLINE[family].fullmatch(argument):
            return None
        if argument in _VALUED[family]:
            next(remaining, None)
        elif argument in subcommands:
            subcommands = set()
        elif not argument.startswith(("-", "+")):
            return argument
    return None


def _family(interpreter: str) -> str:
    name = interpreter.removesuffix(".exe").rstrip("0123456789.")
    if name in _INLINE:
        return name
    if name.endswith("sh"):
        return "shell"
    return "javascript"


def _base_name(path: str) -> str:
    # A login shell calls itself -bash; Linux marks a file that was replaced
    # while it ran as deleted.
    name = PurePath(path.removesuffix(" (deleted)")).name
    return name.removeprefix("-").removesuffix(".exe")
