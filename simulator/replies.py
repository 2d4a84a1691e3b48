"""Response bodies of the simulated Genesys, in Genesys' own forms."""

import uuid
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """A status and a JSON body, perhaps with a Retry-After in seconds."""

    status: int
    body: dict[str, Any]
    retry_after_s: int | None = None


def error(status: int, code: str, message: str) -> Reply:
    """An error in Genesys' own form."""
    body = {"message": message, "code": code, "status": status, "contextId": str(uuid.uuid4())}
    return Reply(status, {**body, "details": [], "errors": []})


def too_many(retry_after_s: int) -> Reply:
    """The normalised 429."""
    sentence = f"Rate limit exceeded the maximum. Retry the request in [{retry_after_s}] seconds"
    body = error(429, "too.many.requests.retry.after", sentence).body
    return Reply(429, body, retry_after_s)


def oauth_error(code: str, message: str) -> Reply:
    """A refusal of the token endpoint; OAuth answers all of them with 400."""
    return Reply(400, {"error": code, "description": message, "error_description": message})
