"""`POST /v1/patches:preview`: what a patch would change now. Nothing is
recorded, and no object or ref is written.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

import structlog
from flask import Blueprint, Response, jsonify, request

from gpt_cursor_runner.gateway.admission import Admitted
from gpt_cursor_runner.gateway.bodies import declared_type, read_patch
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.gateway.webhook import WebhookParts
from gpt_cursor_runner.landing.git import GitFailed
from gpt_cursor_runner.landing.previewing import Preview
from gpt_cursor_runner.patch.outcome import WorldFailed

log = structlog.get_logger()

SCHEMA = "gcr-preview/1"
MAX_DIFF_CHARS = 1_000_000
# With the lists bounded as well, an answer stays below the 100,000 characters
# that ChatGPT takes, as a rule.
_DIFF_CHARS = 50_000
_LISTED = 100


def preview_blueprint(parts: WebhookParts) -> Blueprint:
    """The route, for whoever may submit; it takes the bodies that the webhook
    takes.
    """
    blueprint = Blueprint("preview", __name__)

    @blueprint.post("/v1/patches:preview")
    def show() -> Response:
        kind = declared_type(parts.max_body_bytes)
        key = parts.authority.require("submit")
        chars = _diff_chars()
        _, raw = read_patch(kind, parts.max_body_bytes)
        try:
            admitted, shown = parts.door.preview(raw, key.name, parts.clock())
        except (WorldFailed, GitFailed, OSError) as trouble:
            log.warning("could_not_preview", reason=str(trouble)[:300])
            detail = (
                "The repository cannot be used now; `gcr doctor` on its machine says why. Ask again"
                " later."
            )
            raise Problem(
                503, "repository_unavailable", detail, headers={"Retry-After": "5"}
            ) from trouble
        return jsonify(_told(admitted, shown, chars))

    return blueprint


def _told(admitted: Admitted, shown: Preview, chars: int) -> dict[str, Any]:
    diff = shown.diff.decode(errors="replace")
    cut = _cut(diff, chars)
    return {
        "schema": SCHEMA,
        "patch_id": admitted.patch.id,
        "repository": admitted.repository.name,
        "branch": admitted.repository.branch,
        "base": shown.base,
        "tip": shown.tip,
        "plan_digest": shown.plan.digest(),
        "files": [_without_none(asdict(one)) for one in shown.files[:_LISTED]],
        "files_total": len(shown.files),
        "insertions": sum(one.insertions for one in shown.files),
        "deletions": sum(one.deletions for one in shown.files),
        "hunks": [asdict(one) for one in shown.plan.hunks[:_LISTED]],
        "hunks_total": len(shown.plan.hunks),
        "warnings": list(admitted.warnings),
        "diff": cut,
        "diff_truncated": cut != diff,
    }


def _cut(text: str, chars: int) -> str:
    """The whole lines of the text that fit into these characters of JSON."""
    kept = []
    for line in text.splitlines(keepends=True):
        chars -= len(json.dumps(line)) - 2
        if chars < 0:
            break
        kept.append(line)
    return "".join(kept)


def _diff_chars() -> int:
    said = request.args.get("diff", str(_DIFF_CHARS))
    if not re.fullmatch("[0-9]{1,7}", said) or int(said) > MAX_DIFF_CHARS:
        raise Problem(
            400,
            "bad_diff",
            f"diff is how many characters of the diff to send, 0 to {MAX_DIFF_CHARS}.",
        )
    return int(said)


def _without_none(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
