"""A client for the REST APIs of GitHub and GitLab: JSON over HTTP with a token."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubocd_gen.comments.comment import CommentError
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.network.hosts import AttemptError
from kubocd_gen.network.settings import Network
from kubocd_gen.network.transport import Transport

_MAX_RESPONSE = 32 << 20  # bytes; 100 comments of maximum length take less
_PAGE = 100  # the largest page size of both platforms
_PAGES = 50


def _ca_file() -> Path | None:
    path = os.environ.get("KCD_GEN_CA_FILE")
    return Path(path) if path else None


@dataclass(frozen=True, slots=True)
class Api:
    """An API at the URL `base`."""

    base: str
    token: str = field(repr=False)
    transport: Transport = field(default_factory=lambda: Transport(Network(ca_file=_ca_file())))

    def call(self, method: str, path: str, body: str | None = None) -> Any:
        """Send a request and return the JSON of the response; `body` is the body of a comment.

        Raises CommentError if there is no response, or one with a status other than success or without JSON.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps({"body": body}).encode()
        # POST is not retried: if only the response was lost, the comment exists already.
        send = self.transport.attempt if method == "POST" else self.transport.request
        try:
            response = send(method, f"{self.base}{path}", headers=headers, data=data, limit=_MAX_RESPONSE)
        except (ProblemsError, AttemptError) as error:
            raise CommentError(error.text if isinstance(error, AttemptError) else error.problem.message) from None
        try:
            content = json.loads(response.body)
        except ValueError:
            content = None
        if 200 <= response.status < 300 and content is not None:
            return content
        message = str(content.get("message", ""))[:200] if isinstance(content, dict) else ""
        rights = "; check that the token has permission to comment" if response.status in (401, 403, 404) else ""
        raise CommentError(f"{method} {path} failed with status {response.status} {message}".rstrip() + rights)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the items of a list that have an `id`, from all pages."""
        separator = "&" if "?" in path else "?"
        for page in range(1, _PAGES + 1):
            items = self.call("GET", f"{path}{separator}per_page={_PAGE}&page={page}")
            if not isinstance(items, list):
                raise CommentError("the response is not a list of comments")
            yield from (item for item in items if isinstance(item, dict) and isinstance(item.get("id"), int))
            if len(items) < _PAGE:
                return
