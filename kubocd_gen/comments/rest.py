"""JSON over HTTP with a token, for the two platforms."""

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

_ANSWER = 32 << 20  # bytes of one answer: 100 comments of the greatest length take less
_PAGE = 100  # the most that either platform gives at a time
_PAGES = 50


def _ca_file() -> Path | None:
    named = os.environ.get("KCD_GEN_CA_FILE")
    return Path(named) if named else None


@dataclass(frozen=True, slots=True)
class Api:
    """An API below `base`."""

    base: str
    token: str = field(repr=False)
    transport: Transport = field(default_factory=lambda: Transport(Network(ca_file=_ca_file())))

    def call(self, method: str, path: str, body: str | None = None) -> Any:
        """The JSON of the answer; `body` is a comment's text.

        Raises CommentError for every other answer than success, and for none.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps({"body": body}).encode()
        # A comment whose answer was lost may have been made: that is not tried again.
        send = self.transport.attempt if method == "POST" else self.transport.request
        try:
            answer = send(method, f"{self.base}{path}", headers=headers, data=data, limit=_ANSWER)
        except (ProblemsError, AttemptError) as error:
            raise CommentError(error.text if isinstance(error, AttemptError) else error.problem.message) from None
        try:
            found = json.loads(answer.body)
        except ValueError:
            found = None
        if 200 <= answer.status < 300 and found is not None:
            return found
        said = str(found.get("message", ""))[:200] if isinstance(found, dict) else ""
        rights = "; the token may not have the right to comment" if answer.status in (401, 403, 404) else ""
        raise CommentError(f"{method} {path} was answered with {answer.status} {said}".rstrip() + rights)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The items of a list that have an `id`, page after page."""
        separator = "&" if "?" in path else "?"
        for page in range(1, _PAGES + 1):
            items = self.call("GET", f"{path}{separator}per_page={_PAGE}&page={page}")
            if not isinstance(items, list):
                raise CommentError("the list of comments is no list")
            yield from (item for item in items if isinstance(item, dict) and isinstance(item.get("id"), int))
            if len(items) < _PAGE:
                return
