"""Bodies as senders write them."""

from typing import Any


def body(*changes: Any, **members: Any) -> dict[str, Any]:
    """A patch in today's shape; one valid change by default."""
    listed = list(changes) or [{"type": "upsert", "path": "a.py", "contents": "x\n"}]
    return {"id": "p1", "title": "A title", "changes": listed} | members


def codes_and_pointers(faults: Any) -> list[tuple[str, str]]:
    return [(fault.code, fault.pointer) for fault in faults]
