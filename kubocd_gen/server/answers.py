"""Answer requests by the rules of the container's nginx.conf, and with a page at `/`, which only development has.

The index of a repository and its charts are served under the path that kcd-gen writes and under no other spelling of
it: `.`, `..`, `//`, encoded characters, dot files and symlinks lead to 404. Where RFC 9110 leaves a choice (several
ranges, `If-None-Match` with `If-Modified-Since`, the form of an ETag), this server does the same as nginx.
"""

from __future__ import annotations

import errno
import gzip
import os
import re
from collections.abc import Callable, Mapping
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Literal

from kubocd_gen.server.content import open_below, open_directory, open_root
from kubocd_gen.server.http import FilePart, Request, Response, plain

CONTENT = re.compile(
    r"/hr/(?P<namespace>[a-z0-9][a-z0-9.-]*)/(?P<release>[a-z0-9][a-z0-9.-]*)"
    r"/(?P<file>index\.yaml|[A-Za-z0-9_](?:[A-Za-z0-9._+-]|%2[Bb])*\.tgz)(?:\?.*)?"
)
_RANGE = re.compile(r" *(?:([0-9]{1,18}) *- *([0-9]{0,18})|-([0-9]{1,18})) *")
_LEAST_GZIP = 20  # bytes; the default of nginx
_MOST_GZIP = 8 * 1024 * 1024
_CACHE = ("Cache-Control", "no-cache")  # clients store the response and revalidate it each time with its ETag

Page = Callable[[Request], Response]


def answer(request: Request, output: Path, page: Page) -> Response:
    """Return the response to `request`; `output` is the directory that contains `hr/`, and `page` answers at `/`."""
    if request.method not in ("GET", "HEAD"):
        return plain(405, ("Allow", "GET, HEAD"), text="only GET and HEAD are allowed")
    path = request.target.partition("?")[0]
    if path == "/":
        return page(request)
    if path == "/healthz":
        return plain(200, text="ok")
    if path == "/readyz":
        return plain(200, text="ok") if has_charts(output) else plain(503, text="hr/ not found")
    if found := CONTENT.fullmatch(request.target):
        name = re.sub("%2[Bb]", "+", found["file"])
        try:
            descriptor = open_below(output, ("hr", found["namespace"], found["release"], name))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO):
                return plain(500)
            return plain(404, text="not found")
        response = None
        try:
            response = _file(request, descriptor, is_yaml=name == "index.yaml")
            return response
        finally:
            if response is None or not isinstance(response.body, FilePart):
                os.close(descriptor)
    return plain(404, text="not found")


def has_charts(output: Path) -> bool:
    """Return whether there is a directory `hr/` to serve."""
    try:
        with open_root(output) as root, open_directory(root, "hr"):
            return True
    except OSError:
        return False


def _file(request: Request, descriptor: int, *, is_yaml: bool) -> Response:
    """Return the response for the open file: the file, the requested range of it, or a status such as 304."""
    status = os.fstat(descriptor)
    modified, size = int(status.st_mtime), status.st_size
    etag = f'"{modified:x}-{size:x}"'
    fields = [("Content-Type", "application/yaml" if is_yaml else "application/gzip"), _CACHE]
    fields.append(("Last-Modified", formatdate(modified, usegmt=True)))
    if is_yaml:
        fields.append(("Vary", "Accept-Encoding"))
    unmet = _condition(request.fields, etag, modified)
    if unmet == HTTPStatus.NOT_MODIFIED:
        return Response(unmet, (*fields, ("ETag", etag)))
    if unmet is not None:
        return plain(unmet)
    if is_yaml and _LEAST_GZIP <= size <= _MOST_GZIP and _takes_gzip(request.fields.get("accept-encoding", "")):
        data = gzip.compress(os.pread(descriptor, size, 0), 6, mtime=0)
        return Response(200, (*fields, ("ETag", f"W/{etag}"), ("Content-Encoding", "gzip")), data)
    fields += [("ETag", etag), ("Accept-Ranges", "bytes")]
    may_be_part = _same_version(request.fields.get("if-range"), etag, modified)
    bounds = _bounds(request.fields.get("range", ""), size) if may_be_part else "all"
    if bounds is None:
        return plain(416, ("Content-Range", f"bytes */{size}"))
    if bounds == "all":
        return Response(200, tuple(fields), FilePart(descriptor, 0, size))
    start, end = bounds
    fields.append(("Content-Range", f"bytes {start}-{end - 1}/{size}"))
    return Response(206, tuple(fields), FilePart(descriptor, start, end - start))


def _condition(fields: Mapping[str, str], etag: str, modified: int) -> int | None:
    """Return 304 or 412 if a condition of the request requires it, otherwise None.

    If both `If-Modified-Since` and `If-None-Match` are given, 304 requires both, as in nginx.
    """
    if "if-match" in fields and not _names(fields["if-match"], etag, weakly=False):
        return HTTPStatus.PRECONDITION_FAILED
    if "if-unmodified-since" in fields and _seconds(fields["if-unmodified-since"]) < modified:
        return HTTPStatus.PRECONDITION_FAILED
    unchanged = []
    if "if-modified-since" in fields:
        unchanged.append(_seconds(fields["if-modified-since"]) == modified)
    if "if-none-match" in fields:
        unchanged.append(_names(fields["if-none-match"], etag, weakly=True))
    return HTTPStatus.NOT_MODIFIED if unchanged and all(unchanged) else None


def _seconds(date: str) -> float:
    """Return an HTTP date in seconds since 1970, or -1 if it is invalid."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return -1.0


def _names(tags: str, etag: str, *, weakly: bool) -> bool:
    listed = (tag.strip() for tag in tags.split(","))
    return any(tag == "*" or (tag.removeprefix("W/") if weakly else tag) == etag for tag in listed)


def _same_version(condition: str | None, etag: str, modified: int) -> bool:
    """Return whether `If-Range` allows a range: a client must not combine the bytes of two versions."""
    return condition is None or condition == etag or _seconds(condition) == modified


def _takes_gzip(accepted: str) -> bool:
    for item in accepted.lower().split(","):
        name, _, parameters = item.partition(";")
        if name.strip() in ("gzip", "*"):
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", parameters) is None
    return False


def _bounds(wanted: str, size: int) -> tuple[int, int] | Literal["all"] | None:
    """Return the start and the end (exclusive) of a Range field in bytes, or None if it can't be satisfied.

    As in nginx with `max_ranges 1`, another unit, or more than one range that can be satisfied, is answered with all.
    """
    if wanted[:6].lower() != "bytes=" or not wanted[6:]:
        return "all"
    found: tuple[int, int] | None = None
    for item in wanted[6:].split(","):
        match = _RANGE.fullmatch(item)
        if match is None:
            return None
        first, last, suffix = match.groups()
        start = int(first) if first else max(0, size - int(suffix))
        end = min(size, int(last) + 1) if last else size
        if start < end and found is None:
            found = start, end
        elif start < end or start == 0:
            return "all"
    return found
