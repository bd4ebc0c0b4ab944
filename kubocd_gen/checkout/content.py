"""Recognize files whose content is not what was committed, or is not text: pointers, encrypted and compressed files.

Such a file can contain a Release, so it must never count as a file without one.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

HEAD = 1024  # bytes of a file that are enough to recognize it; Git LFS pointers are smaller (its specification)

LFS_POINTER = re.compile(
    rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\n"
    rb"(?:.*\n)*?oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n?"
)
GIT_CRYPT = b"\0GITCRYPT\0"
_DECRYPT, _DECOMPRESS = "decrypt it", "decompress it"
_POINTER = "is a Git LFS pointer without the file's content"
_SIGNATURES = (
    (b"version https://git-lfs.github.com/spec/", _POINTER, "run 'git lfs pull'"),
    (b"version https://hawser.github.com/spec/", _POINTER, "run 'git lfs pull'"),
    (GIT_CRYPT, "is encrypted with git-crypt", "run 'git-crypt unlock'"),
    (b"age-encryption.org/", "is encrypted with age", _DECRYPT),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "is encrypted with age", _DECRYPT),
    (b"-----BEGIN PGP MESSAGE-----", "is encrypted with PGP", _DECRYPT),
    (b"U2FsdGVkX1", "is encrypted with OpenSSL or transcrypt", _DECRYPT),
    (b"Salted__", "is encrypted with OpenSSL", _DECRYPT),
    (b"$ANSIBLE_VAULT;", "is encrypted with Ansible Vault", _DECRYPT),
    (b"\x1f\x8b", "is compressed with gzip", _DECOMPRESS),
    (b"\x28\xb5\x2f\xfd", "is compressed with Zstandard", _DECOMPRESS),
    (b"\xfd7zXZ\0", "is compressed with xz", _DECOMPRESS),
    (b"BZh", "is compressed with bzip2", _DECOMPRESS),
    (b"PK\x03\x04", "is a ZIP archive", "extract it"),
)
_UTF_8 = "save it as UTF-8"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_DAMAGED = "restore it with 'git restore'"  # a crash of the machine can leave such files


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why content can't be read as YAML. `message` is the rest of a sentence that starts with "the file"."""

    message: str
    hint: str


def is_utf_16(data: bytes) -> bool:
    """Return whether the content has the byte order mark of UTF-16, which YAML readers accept."""
    return data.startswith(_UTF_16) and not data.startswith(_UTF_32)


def unreadable(data: bytes) -> Unreadable | None:
    """Return why a file with this content, or with this beginning, can't be read as YAML; None if it may be text."""
    for signature, reason, hint in _SIGNATURES:
        if data.startswith(signature):
            return Unreadable(reason, hint)
    if data.startswith(_UTF_32):
        return Unreadable("is UTF-32", _UTF_8)
    if b"\0" not in data or is_utf_16(data):
        return None
    if not data.strip(b"\0"):
        return Unreadable("contains nothing but NUL bytes", _DAMAGED)
    encoding = _without_mark(data)
    if encoding:
        return Unreadable(f"seems to be {encoding} without a byte order mark", _UTF_8)
    return Unreadable("contains NUL bytes", f"{_UTF_8}, {_DAMAGED}")


def _without_mark(data: bytes) -> str:
    """Return the encoding of text that has NUL bytes where UTF-16 and UTF-32 have them in ASCII; "" if unknown."""
    head = data[: HEAD // 4 * 4]
    zeros = [head[start::4].count(0) / max(1, len(head[start::4])) for start in range(4)]
    high, low = 0.7, 0.3  # names and comments can have other characters
    if min(zeros[1:]) > high > low > zeros[0] or min(zeros[:3]) > high > low > zeros[3]:
        return "UTF-32"
    if min(zeros[1], zeros[3]) > high > low > max(zeros[0], zeros[2]):
        return "UTF-16"
    if min(zeros[0], zeros[2]) > high > low > max(zeros[1], zeros[3]):
        return "UTF-16"
    return ""
