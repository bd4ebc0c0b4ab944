"""The fingerprint of what determines a result in addition to its inputs: kcd-gen's code, Python and the libraries."""

from __future__ import annotations

import hashlib
import os
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from kubocd_gen.package_data import data_directory
from kubocd_gen.state.signatures import signature

_CODE = Path(__file__).parents[1]


@cache
def code_signature() -> str:
    """Return a digest of the names, sizes and times of kcd-gen's files and of the installed libraries: 3 ms."""
    digest = hashlib.blake2b(digest_size=16)
    for path, status in _every_file():
        digest.update(f"{path}\0{signature(status)}\n".encode())
    digest.update("\n".join(_environment()).encode())
    return digest.hexdigest()


@cache
def rules_fingerprint() -> str:
    """Return a digest of the content of kcd-gen's files and of the versions of everything else: some 20 ms.

    It is the same on each machine with the same installation.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path, _ in _every_file():
        digest.update(f"{os.path.relpath(path, _CODE)}\0".encode())
        digest.update(Path(path).read_bytes())
    digest.update("\n".join(_environment()).encode())
    return digest.hexdigest()


def _every_file() -> Iterator[tuple[str, os.stat_result]]:
    yield from _files(str(_CODE))
    schemas = data_directory("schemas")
    if not schemas.is_relative_to(_CODE):  # in a checkout
        yield from _files(str(schemas))


def _files(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(directory) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _files(entry.path)
        elif not entry.name.endswith(".pyc"):
            yield entry.path, entry.stat()


def _environment() -> Iterator[str]:
    """Yield the versions of Python, of its Unicode tables, and of the installed libraries."""
    yield sys.version
    yield unicodedata.unidata_version
    yield sys.byteorder
    for directory in sys.path:
        try:
            names = os.listdir(directory or ".")  # noqa: PTH208 - names only
        except OSError:
            continue
        yield from sorted(name for name in names if name.endswith((".dist-info", ".egg-info")))
