"""One commit of a remote repository into a store of its own, without a working tree.

The server is not trusted. It gets an Authorization field only at the address that this is for, so git follows no
redirect with one. What it sends stays packed, and has limits in time, memory and on disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from kubocd_gen.git.process import LARGEST_FILE, Done, run
from kubocd_gen.git.repository import FETCH_SECONDS
from kubocd_gen.git.setup import Setup, for_fetch, for_own_store

COMMIT = "refs/kcd-gen/fetched"
_OPTIONS = ("--quiet", "--no-tags", "--no-recurse-submodules")
_PROTOCOLS = ("https", "ssh", "file")  # what `url.….insteadOf` of the user makes of addresses, too


class FetchTooLargeError(Exception):
    """What the server sends takes more bytes on disk than it may: `size`, so far."""

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
    """Fetch the commit of `ref` at `url` into the new store `store`, as `COMMIT`. The status is Git's.

    `authorization` is the value of an Authorization field for the host of `url`; `most` is what the store can take on
    disk, in bytes. Raises ProblemsError `git-failed` and `git-missing`, and FetchTooLargeError.
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
    if done.status and "shallow" in done.stderr:  # the dumb protocol has whole histories alone
        done = fetch()
    return done


def _setup(url: str, store: Path, environment: Mapping[str, str], authorization: str | None) -> Setup:
    parts = urlsplit(url)
    protocols = ("file",) if parts.scheme == "file" else _PROTOCOLS
    if parts.scheme in ("http", "git"):  # never by a redirect, which would take a TLS connection away
        protocols = (*protocols, parts.scheme)
    settings, secrets = dict[str, str](), dict[str, str]()
    if parts.scheme in ("https", "http"):
        if authorization is not None:
            host = f"http.{parts.scheme}://{parts.netloc}/"
            secrets[f"{host}.extraHeader"] = f"Authorization: {authorization}"
            if parts.scheme == "http":  # to the loopback, and not by way of a proxy
                secrets[f"{host}.proxy"] = ""
        if authorization is not None or _has_header(url, store, environment):
            settings["http.followRedirects"] = "false"
            secrets[f"http.{url}.followRedirects"] = "false"  # stronger than the user's setting for this host
    return for_fetch(protocols, environment, settings=settings, secrets=secrets)


def _has_header(url: str, store: Path, environment: Mapping[str, str]) -> bool:
    """Whether the user's configuration sends a field of its own there, such as a token that a CI system has set."""
    arguments = ("config", "--get-urlmatch", "http.extraHeader", url)
    return run(for_fetch((), environment), f"--git-dir={store}", *arguments, name="config").status == 0


def store_size(store: Path) -> int:
    """How many bytes the files of a store have; what it has fetched is packed as it was sent."""
    return sum(_sizes(str(store)))


def _check_size(store: Path, most: int) -> None:
    if (size := store_size(store)) > most:
        raise FetchTooLargeError(size)


def _sizes(folder: str) -> Iterator[int]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _sizes(entry.path)
                else:
                    yield entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # git has moved it meanwhile
        return
