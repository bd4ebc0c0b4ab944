"""Kubernetes' rules for names."""

from __future__ import annotations

import pytest

from kubocd_gen.schema.names import is_label, is_subdomain


@pytest.mark.parametrize("text", ["a", "0", "a-b", "x" * 63])
def test_labels(text: str) -> None:
    assert is_label(text)
    assert is_subdomain(text)


@pytest.mark.parametrize(
    "text", ["", "-", "a-", "-a", "A", "a_b", "a b", "é", "a\n", "a\0", "x" * 254, "a..b", ".a", "a."]
)
def test_names_that_are_neither(text: str) -> None:
    assert not is_label(text)
    assert not is_subdomain(text)


@pytest.mark.parametrize("text", ["a.b", "x" * 64, ".".join(["x" * 63] * 3 + ["y" * 61])])
def test_subdomains_can_have_dots_and_253_characters(text: str) -> None:
    assert is_subdomain(text)
    assert not is_label(text)
