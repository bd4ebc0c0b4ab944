"""JSON over HTTP with a bearer of rights, for the two platforms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubocd_gen.ci_comments.comment import CommentError

if TYPE_CHECKING:
    import requests

_TIMEOUT = 30  # seconds, to connect and for each part of an answer
_PAGE = 100  # the most that either platform gives at a time
_PAGES = 50
_PASSING = (500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Api:
    """An API below `base`; `headers` hold the token."""

    base: str
    headers: Mapping[str, str] = field(repr=False)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of the answer. Raises CommentError for every other answer than success, and for none."""
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry

        with requests.Session() as session:
            # Another token of a .netrc must not take the place of this one.
            session.auth = self._sign
            retry = Retry(3, backoff_factor=0.5, status_forcelist=_PASSING, allowed_methods=["GET", "PATCH", "PUT"])
            session.mount(self.base, HTTPAdapter(max_retries=retry))
            try:
                answer = session.request(
                    method, f"{self.base}{path}", timeout=_TIMEOUT, allow_redirects=False, **options
                )
                if answer.ok and not answer.is_redirect:
                    return answer.json()
            except (requests.RequestException, ValueError) as error:
                host = urlsplit(self.base).hostname
                raise CommentError(f"{host} gave no answer that can be used ({type(error).__name__})") from error
        raise CommentError(self._refusal(method, path, answer))

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page."""
        for page in range(1, _PAGES + 1):
            items = self.call("GET", path, params={"per_page": _PAGE, "page": page})
            if not isinstance(items, list):
                raise CommentError("the list of comments is no list")
            yield from (item for item in items if isinstance(item, dict))
            if len(items) < _PAGE:
                return

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self.headers)
        return request

    def _refusal(self, method: str, path: str, answer: requests.Response) -> str:
        try:
            said = answer.json()["message"]
        except (ValueError, KeyError, TypeError):
            said = answer.reason
        rights = "; the token has not the right to comment" if answer.status_code in (401, 403, 404) else ""
        return f"{method} {path} was answered with {answer.status_code} ({str(said)[:200]}){rights}"
