"""The files of /etc that a sandboxed command sees: those of an ordinary machine
with one user.
"""

from __future__ import annotations

from pathlib import Path

from gpt_cursor_runner.config import Network
from gpt_cursor_runner.landing.sandbox.model import INSIDE_HOME

HOST_NAME = "check"
UID = 1000
# Files of the machine that hold no secret, each shown if it exists.
SHOWN = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/npmrc",
    "/etc/pip.conf",
    "/etc/pki/ca-trust",
    "/etc/pki/tls",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
)
_LOOPBACK_HOSTS = f"127.0.0.1 localhost {HOST_NAME}\n::1 localhost ip6-localhost ip6-loopback\n"
_FILES = {
    "group": f"root:x:0:\ncheck:x:{UID}:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n",
    "passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        f"check:x:{UID}:{UID}:check:{INSIDE_HOME}:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
    ),
}
# For a machine without these files (Debian's package netbase).
_FALLBACKS = {
    "protocols": "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6 41 IPv6\n",
    "services": (
        "ftp 21/tcp\nssh 22/tcp\nsmtp 25/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\n"
        "pop3 110/tcp\nntp 123/udp\nimap2 143/tcp\nhttps 443/tcp\nhttps 443/udp\n"
    ),
}


def write_files(directory: Path, network: Network) -> list[Path]:
    """Write the files into `directory`; each belongs at /etc/<its name>."""
    directory.mkdir(exist_ok=True)
    files = _FILES | {"hosts": _LOOPBACK_HOSTS}
    if network == "host":
        files |= _files_of_network()
    for name, text in _FALLBACKS.items():
        if not Path("/etc", name).exists():
            files[name] = text
    written = []
    for name, text in files.items():
        path = directory / name
        path.write_text(text)
        written.append(path)
    return written


def _files_of_network() -> dict[str, str]:
    """The machine's own names and name servers. Copied, because resolv.conf is
    often a link into /run, which is not shown.
    """
    files = {}
    for name in ("hosts", "resolv.conf"):
        path = Path("/etc", name)
        if path.exists():
            files[name] = path.read_text(errors="replace")
    files["hosts"] = files.get("hosts", "") + "\n" + _LOOPBACK_HOSTS
    return files
