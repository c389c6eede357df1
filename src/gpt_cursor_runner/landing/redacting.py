"""Takes the secrets that the owner gave to a command out of its output.

Output goes into logs, reports and the answers to senders. A secret is found by
its value, in the encodings in which programs print it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus, urlsplit

REPLACEMENT = b"***"
# Shorter values are words, ports and flags, which outputs are full of.
_LEAST_CHARS = 6
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:api|auth|cookie|credentials?|dsn|jwt|keys?|pass|passphrase|passwd|passwords?|pat"
    r"|private|pwd|secrets?|session|signature|tokens?)(?:_|$|\d)",
    re.IGNORECASE,
)


def redact(output: bytes, environment: Mapping[str, str]) -> bytes:
    """The output without the secret values of the environment: those of a
    variable with such a name, and passwords in addresses.
    """
    forms = {form for secret in _secrets(environment) for form in _forms(secret)}
    # The longest first: one may contain another.
    for form in sorted(forms, key=len, reverse=True):
        output = output.replace(form, REPLACEMENT)
    return output


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if _SECRET_NAME.search(name):
            yield from (part for part in (value, *value.splitlines()) if part)
        password = _password(value)
        if password:
            yield password


def _password(value: str) -> str | None:
    try:
        return urlsplit(value).password
    except ValueError:
        return None


def _forms(secret: str) -> Iterator[bytes]:
    if len(secret) < _LEAST_CHARS:
        return
    raw = secret.encode()
    yield raw
    yield quote(secret, safe="").encode()
    yield quote_plus(secret).encode()
    yield json.dumps(secret)[1:-1].encode()
    yield raw.hex().encode()
    # Base64 of a longer text has the secret at one of three offsets; the outer
    # characters depend on the text around it.
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(bytes(offset) + raw).rstrip(b"=")
            yield encoded[offset + (offset > 0) : -1]
