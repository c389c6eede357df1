"""Finds the programs of this machine that sandboxed commands can use: the
directories of the search path, without those of the owner's work trees.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

# Directories that every command sees, and everything below them.
SYSTEM_DIRECTORIES = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# The directories that a tool reads beside the `bin` it is in. Never the whole
# prefix: that of ~/.local/bin holds the owner's secrets.
_BESIDE_BIN = ("bin", "sbin", "lib", "lib64", "libexec", "include", "pyvenv.cfg")
# A Go distribution reads its sources; it is recognised by its VERSION.
_BESIDE_BIN_OF_GO = ("VERSION", "go.env", "pkg", "src")
_MAX_LINKS = 40  # as the kernel


@dataclass(frozen=True)
class Tools:
    """The search path inside the sandbox, and the paths outside the system's
    directories that it needs, each shown at the same place.
    """

    search_path: str
    read_only: tuple[Path, ...]


def find_tools(search_path: str, hidden: Sequence[Path]) -> Tools:
    """The usable part of a search path.

    Directories in or around a `hidden` one are left out: a virtual environment
    of the owner's imports the owner's files in place of the sealed tree. The
    shims of a version manager are replaced by the programs they stand for.
    """
    usable = _outside(_program_directories(search_path), hidden)
    parts = chain.from_iterable(map(_parts_beside, usable))
    return Tools(os.pathsep.join(map(str, usable)), tuple(_outside(parts, hidden)))


def _program_directories(search_path: str) -> Iterator[Path]:
    for entry in search_path.split(os.pathsep):
        directory = Path(entry)
        if directory.is_absolute() and directory.is_dir():
            yield from _behind_shims(directory)


def _outside(paths: Iterable[Path], hidden: Sequence[Path]) -> list[Path]:
    """The paths that overlap no hidden directory, each once."""
    return [path for path in dict.fromkeys(paths) if not overlaps(path, hidden)]


def toolchain(executable: Path) -> list[Path]:
    """The paths that an executable outside the system's directories needs
    inside.
    """
    needed: list[Path] = []
    # Every link of the chain, since each must exist inside too.
    for hop in _links(executable):
        if is_in_system(hop):
            continue
        prefix = hop.parent.parent
        if hop.parent.name != "bin" or prefix == Path("/"):
            needed.append(hop)
            continue
        needed += _parts_beside(hop.parent)
        # A virtual environment needs the Python that it was made from.
        if (prefix / "pyvenv.cfg").is_file() and not hop.name.startswith("python"):
            needed += toolchain(prefix / "bin" / "python")
    return list(dict.fromkeys(needed))


def overlaps(path: Path, directories: Sequence[Path]) -> bool:
    """Whether a path contains one of the directories, or lies in one."""
    real = path.resolve()
    for directory in directories:
        if real.is_relative_to(directory) or directory.is_relative_to(real):
            return True
    return False


def is_in_system(path: Path) -> bool:
    return any(path.is_relative_to(shown) for shown in SYSTEM_DIRECTORIES)


def _behind_shims(directory: Path) -> Iterator[Path]:
    """The directories in which the programs of a search path entry really are.

    A shim reads the settings and programs of its manager, which the sandbox
    does not show.
    """
    if (directory / "rustup").exists():
        yield from _rust_toolchain(directory.parent)
    if directory.name != "shims":
        yield directory
        return
    # pyenv, rbenv, nodenv and goenv keep the same files. The other managers are
    # left out, so that their programs are reported as not found.
    for version in _lines(directory.parent / "version"):
        programs = directory.parent / "versions" / version / "bin"
        if programs.is_dir():
            yield programs


def _rust_toolchain(cargo_home: Path) -> Iterator[Path]:
    """The programs of rustup's default toolchain; those in ~/.cargo/bin only
    call rustup.
    """
    rustup_home = cargo_home.with_name(".rustup")
    try:
        settings = tomllib.loads((rustup_home / "settings.toml").read_text())
    except (OSError, ValueError):
        return
    programs = rustup_home / "toolchains" / str(settings.get("default_toolchain")) / "bin"
    if programs.is_dir():
        yield programs


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (OSError, ValueError):
        return []


def _parts_beside(directory: Path) -> list[Path]:
    """A directory of programs and what its programs read beside it; none for
    the system's.
    """
    prefix = directory.parent
    if is_in_system(directory):
        return []
    if directory.name not in ("bin", "sbin") or prefix in (Path("/"), Path.home()):
        return [directory]
    names = [*_BESIDE_BIN]
    if (prefix / "VERSION").is_file():
        names += _BESIDE_BIN_OF_GO
    return [prefix / name for name in names if (prefix / name).exists()]


def _links(path: Path) -> list[Path]:
    """The path, and every path of its chain of symbolic links."""
    chain = [path]
    while chain[-1].is_symlink() and len(chain) < _MAX_LINKS:
        target = chain[-1].parent / chain[-1].readlink()
        chain.append(Path(os.path.normpath(target)))
    return chain
