"""The profile of a repository: the settings by which its patches are judged."""

from __future__ import annotations

import hashlib
import json

from gpt_cursor_runner.config.model import Repository, SandboxLimits

# Where a patch lands and what follows: two repositories with the same rules
# have the same profile.
_NOT_JUDGING = {"name", "path", "branch", "tag", "push"}


def profile_digest(repository: Repository, limits: SandboxLimits) -> str:
    """SHA-256 over the settings that judge a patch: checks, sandbox, approval,
    and every other one that is not about where it lands.
    """
    profile = repository.model_dump(mode="json", exclude=_NOT_JUDGING)
    profile["limits"] = limits.model_dump(mode="json")
    text = json.dumps(profile, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
