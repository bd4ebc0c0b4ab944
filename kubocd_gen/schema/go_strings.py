"""String functions of Go's standard library that differ from Python's methods of the same purpose."""

from __future__ import annotations

import re

# Unicode's White_Space property. Python's `str.strip` also removes U+001C to U+001F.
_WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


def trim_space(text: str) -> str:
    """Return `text` without leading and trailing white space, like `strings.TrimSpace`."""
    return text.strip(_WHITE_SPACE)


def has_invalid_utf8(text: str) -> bool:
    """Return whether `text`, decoded with `surrogateescape`, has bytes that are not UTF-8."""
    return not text.isascii() and _ESCAPED_BYTE.search(text) is not None


def valid_utf8(text: str) -> str:
    """Return `text`, decoded with `surrogateescape`, as `encoding/json` prints it: each invalid byte is one U+FFFD."""
    return _ESCAPED_BYTE.sub("\ufffd", text)
