"""The filter of system calls for a sandboxed command, as a program of classic
BPF (seccomp(2), linux/filter.h).

It denies the kernel's keyrings, ptrace, new user namespaces, and sockets of the
families that the network of the command excludes. A denied call fails with an
error that programs handle; it does not kill.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass

from gpt_cursor_runner.config import Network

# Instructions: load a word, jump when equal, when bits are set, when greater or
# equal, return.
_LOAD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_GREATER_EQUAL = 0x35
_JUMP_ANY_BIT = 0x45
_RETURN = 0x06

# Offsets in struct seccomp_data. The lower half of an argument stands first on
# the little-endian machines below.
_NUMBER = 0
_ARCHITECTURE = 4
_FIRST_ARGUMENT = 16

_ALLOW = 0x7FFF0000
_ERROR = 0x00050000
_CLONE_NEWUSER = 0x10000000
# Numbers of the x32 ABI on x86-64: the same calls under other numbers.
_X32 = 0x40000000
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10


@dataclass(frozen=True)
class _Machine:
    """The numbers of the system calls on one architecture."""

    architecture: int
    keyctl: int
    add_key: int
    request_key: int
    ptrace: int
    unshare: int
    setns: int
    clone: int
    socket: int
    clone3: int = 435
    io_uring_setup: int = 425


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 250, 248, 249, 101, 272, 308, 56, 41),
    "aarch64": _Machine(0xC00000B7, 219, 217, 218, 117, 97, 268, 220, 198),
}
# Abstract sockets belong to the network namespace, so that with a network of
# its own a command reaches none of the machine's.
_DENIED_FAMILIES: dict[Network, tuple[int, ...]] = {
    "none": (_AF_UNIX, _AF_INET, _AF_INET6),
    "loopback": (),
    "host": (_AF_UNIX,),
}


def is_supported(machine: str = platform.machine()) -> bool:
    return machine in _MACHINES


def filter_program(network: Network, machine: str = platform.machine()) -> bytes:
    """The program for bwrap's `--seccomp`; raise KeyError on a machine that is
    not supported.
    """
    calls = _MACHINES[machine]
    program = _refuse_other_architectures(calls.architecture)
    for number in (calls.keyctl, calls.add_key, calls.request_key, calls.ptrace, calls.setns):
        program += _deny(number, errno.EPERM)
    # Its flags are in memory, where a filter cannot read them. With ENOSYS the
    # C library falls back to clone.
    program += _deny(calls.clone3, errno.ENOSYS)
    # It can open sockets without the call that is filtered below.
    program += _deny(calls.io_uring_setup, errno.ENOSYS)
    for number in (calls.unshare, calls.clone):
        program += _deny_argument(number, _JUMP_ANY_BIT, _CLONE_NEWUSER, errno.EPERM)
    for family in _DENIED_FAMILIES[network]:
        program += _deny_argument(calls.socket, _JUMP_EQUAL, family, errno.EAFNOSUPPORT)
    return program + _instruction(_RETURN, _ALLOW)


def _refuse_other_architectures(architecture: int) -> bytes:
    return (
        _instruction(_LOAD, _ARCHITECTURE)
        + _instruction(_JUMP_EQUAL, architecture, if_true=1)
        + _instruction(_RETURN, _ERROR | errno.ENOSYS)
        + _instruction(_LOAD, _NUMBER)
        + _instruction(_JUMP_GREATER_EQUAL, _X32, if_false=1)
        + _instruction(_RETURN, _ERROR | errno.ENOSYS)
    )


def _deny(number: int, error: int) -> bytes:
    """The accumulator holds the number of the call, before and after."""
    return _instruction(_JUMP_EQUAL, number, if_false=1) + _instruction(_RETURN, _ERROR | error)


def _deny_argument(number: int, comparison: int, value: int, error: int) -> bytes:
    """As `_deny`, only for calls whose first argument compares so."""
    return (
        _instruction(_JUMP_EQUAL, number, if_false=4)
        + _instruction(_LOAD, _FIRST_ARGUMENT)
        + _instruction(comparison, value, if_false=1)
        + _instruction(_RETURN, _ERROR | error)
        + _instruction(_LOAD, _NUMBER)
    )


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """struct sock_filter; the jumps count the instructions to skip."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
