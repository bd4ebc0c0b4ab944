"""Content that can't be read as YAML although the file has the name of a manifest."""

from __future__ import annotations

import gzip
import lzma

import pytest

from kubocd_gen.checkout.content import Unreadable, is_utf_16, unreadable

RELEASE = "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\nmetadata: {name: résumé}\n"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 500\n".encode()


def message(data: bytes) -> str:
    found = unreadable(data)
    assert isinstance(found, Unreadable)
    assert found.hint
    return found.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        RELEASE.encode(),
        RELEASE.encode("utf-8-sig"),
        RELEASE.encode("utf-16"),
        b"\xfe\xff" + RELEASE.encode("utf-16-be"),
        RELEASE.encode("latin-1"),
        b"# version https://git-lfs.github.com/spec/v1\n",
        b"BZ: 1\n",
    ],
)
def test_text_is_readable(data: bytes) -> None:
    assert unreadable(data) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (POINTER, "Git LFS"),
        (POINTER.replace(b"git-lfs.github.com", b"hawser.github.com"), "Git LFS"),
        (b"\0GITCRYPT\0abc\377\376", "git-crypt"),
        (b"age-encryption.org/v1\n-> X25519 x\n", "age"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", "age"),
        (b"-----BEGIN PGP MESSAGE-----\n", "PGP"),
        (b"U2FsdGVkX18abcdefgh\n", "transcrypt"),
        (b"$ANSIBLE_VAULT;1.1;AES256\n3132\n", "Ansible Vault"),
        (gzip.compress(RELEASE.encode(), mtime=0), "gzip"),
        (lzma.compress(RELEASE.encode()), "xz"),
        (b"PK\x03\x04abc", "ZIP"),
        (RELEASE.encode("utf-32"), "UTF-32"),
        (RELEASE.encode("utf-32-le"), "UTF-32"),
        (RELEASE.encode("utf-32-be"), "UTF-32"),
        (RELEASE.encode("utf-16-le"), "UTF-16"),
        (RELEASE.encode("utf-16-be"), "UTF-16"),
        (b"\0" * 300, "nothing but NUL"),
        (RELEASE.encode() + b"\0" * 300, "NUL bytes"),
        (b"a\0\0b", "NUL bytes"),
    ],
)
def test_binary_content_is_reported_with_its_format(data: bytes, expected: str) -> None:
    assert expected in message(data)


def test_the_byte_order_mark_of_utf_32_is_distinguished_from_utf_16() -> None:
    assert is_utf_16("a".encode("utf-16"))
    assert not is_utf_16("a".encode("utf-32"))
