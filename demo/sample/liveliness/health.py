"""The health answer of the sample service."""


def health(parts):
    """Return the overall word and the parts, each by name with True when it works."""
    return {
        "overall_status": "unknown",
        "components": dict(parts),
    }
