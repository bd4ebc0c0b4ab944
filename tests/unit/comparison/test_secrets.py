"""What is masked inside texts, and that no text makes it slow."""

from __future__ import annotations

import time

import pytest

from kubocd_gen.compiler.secrets import MASK, is_hidden, looks_secret, masked, masked_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password: tiger", f"password: {MASK}"),
        ('"apiKey": "tiger lily"', f'"apiKey": {MASK}'),
        ("a=1;db_password=tiger;b=2", f"a=1;db_password={MASK};b=2"),
        ("clientSecret = 'tiger'", f"clientSecret = {MASK}"),
        ("password:\n  next: 1", "password:\n  next: 1"),
        ("https://me:tiger@example.com/x", f"https://me:{MASK}@example.com/x"),
        ("Authorization: Bearer abcdefgh12345", f"Authorization: Bearer {MASK}"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END", f"-----BEGIN RSA PRIVATE KEY-----{MASK}-----END"),
        ("tokenUrl: https://example.com/token", "tokenUrl: https://example.com/token"),
        ("the password is in the vault", "the password is in the vault"),
    ],
)
def test_inside_a_text(text: str, shown: str) -> None:
    assert masked_text(text) == shown


def test_names() -> None:
    assert looks_secret("adminPassword")
    assert not looks_secret("jwtSecret")
    assert is_hidden("jwtSecret")
    assert not any(map(is_hidden, ("existingSecret", "existing-secret", "passwordKey", "tokenUrl", "secretName")))


def test_whether_there_is_a_secret_may_be_known() -> None:
    value = {"password": None, "token": True, "apiKey": 7, "credentials": {"user": "me", "on": False}}
    assert masked(value) == {
        "password": None,
        "token": True,
        "apiKey": MASK,
        "credentials": {"user": MASK, "on": False},
    }


@pytest.mark.parametrize(
    "part", ["x", "password", "password ", "://", "://a:", "-----BEGIN ", "Bearer ", "secret'", "A "]
)
def test_no_text_takes_long(part: str) -> None:
    start = time.perf_counter()
    masked_text(part * (400_000 // len(part)))
    assert time.perf_counter() - start < 5
