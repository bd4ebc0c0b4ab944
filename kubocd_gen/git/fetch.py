"""Fetching one commit of a remote repository into a new store, without a working tree.

The server is not trusted. An Authorization field is sent only to the host that it is for, so git does not follow
redirects with one. The received objects stay packed, and time, memory and disk space are limited.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from kubocd_gen.git.process import LARGEST_FILE, Done, run
from kubocd_gen.git.repository import FETCH_SECONDS
from kubocd_gen.git.setup import Setup, for_fetch, for_own_store

COMMIT = "refs/kcd-gen/fetched"
_OPTIONS = ("--quiet", "--no-tags", "--no-recurse-submodules")
_PROTOCOLS = ("https", "ssh", "file")  # also for URLs rewritten by the user's `url.….insteadOf`


class FetchTooLargeError(Exception):
    """The received objects exceed the limit on disk; `size` is their size so far, in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def fetch_commit(
    url: str,
    ref: str,
    store: Path,
    environment: Mapping[str, str],
    *,
    authorization: str | None = None,
    seconds: float = FETCH_SECONDS,
    most: int = LARGEST_FILE,
) -> Done:
    """Fetch the commit of `ref` at `url` into the new store `store`, as `COMMIT`, and return Git's result.

    `authorization` is the value of an Authorization field for the host of `url`; `most` is the maximum size of the
    store in bytes. Raises ProblemsError `git-failed` and `git-missing`, and FetchTooLargeError.
    """
    made = run(for_own_store(environment), "init", "--quiet", "--bare", "--template=", "--", str(store), name="init")
    if made.status:
        return made
    setup = _setup(url, store, environment, authorization)

    def fetch(*depth: str) -> Done:
        return run(
            setup,
            f"--git-dir={store}",
            *("fetch", *_OPTIONS, *depth, "--", url, f"+{ref}:{COMMIT}"),
            name="fetch",
            seconds=seconds,
            watch=lambda: _check_size(store, most),
        )

    done = fetch("--depth=1")
    if done.status and "shallow" in done.stderr:  # the dumb protocol supports only whole histories
        done = fetch()
    return done


def _setup(url: str, store: Path, environment: Mapping[str, str], authorization: str | None) -> Setup:
    parts = urlsplit(url)
    protocols = ("file",) if parts.scheme == "file" else _PROTOCOLS
    if parts.scheme in ("http", "git"):  # only if the user chose it: a redirect must not disable TLS
        protocols = (*protocols, parts.scheme)
    settings, secrets = dict[str, str](), dict[str, str]()
    if parts.scheme in ("https", "http"):
        if authorization is not None:
            host = f"http.{parts.scheme}://{parts.netloc}/"
            secrets[f"{host}.extraHeader"] = f"Authorization: {authorization}"
            if parts.scheme == "http":  # sent only to loopback, so not through a proxy
                secrets[f"{host}.proxy"] = ""
        if authorization is not None or _has_header(url, store, environment):
            settings["http.followRedirects"] = "false"
            secrets[f"http.{url}.followRedirects"] = "false"  # takes precedence over the user's setting for this host
    return for_fetch(protocols, environment, settings=settings, secrets=secrets)


def _has_header(url: str, store: Path, environment: Mapping[str, str]) -> bool:
    """Return whether the user's configuration adds a header for `url`, such as a token set by a CI system."""
    arguments = ("config", "--get-urlmatch", "http.extraHeader", url)
    return run(for_fetch((), environment), f"--git-dir={store}", *arguments, name="config").status == 0


def store_size(store: Path) -> int:
    """Return the size of a store's files in bytes."""
    size = 0
    for directory, _, names in os.walk(store):
        for name in names:
            with suppress(FileNotFoundError):  # git has moved the file meanwhile
                size += Path(directory, name).lstat().st_size
    return size


def _check_size(store: Path, most: int) -> None:
    if (size := store_size(store)) > most:
        raise FetchTooLargeError(size)
