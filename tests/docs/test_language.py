"""Words that the product does not use, because the field has others: CONTRIBUTING.md lists the conventions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTEAD = {
    r"folders?": "directory",
    r"anew": "again",
    r"mend(s|ed|ing)?": "fix",
    r"strangers?": "another user, untrusted",
    r"somebody": "a user",
    r"shall": "must",
    r"beside": "next to",
    r"behind": "after",
    r"colou?rs?": "color",
    r"behaviours?": "behavior",
}
WORDS = re.compile(rf"(?<![\w-])(?:{'|'.join(INSTEAD)})(?![\w-])", re.IGNORECASE)
ALLOWED = {"color", "colors"}


def texts() -> list[Path]:
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    pages += [*(ROOT / "docs").rglob("*.md"), *(ROOT / "kubocd_gen").rglob("*.py"), *(ROOT / "website").rglob("*.py")]
    return pages


@pytest.mark.parametrize("word", ["folder", "Anew", "mended", "behaviour", "Colours"])
def test_such_a_word_is_found(word: str) -> None:
    assert WORDS.search(f"a {word}.")


def test_the_product_uses_the_words_of_the_field() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in WORDS.finditer(line)
        if match[0].lower() not in ALLOWED
    ]
    assert found == []
