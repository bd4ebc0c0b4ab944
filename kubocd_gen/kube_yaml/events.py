"""Parse YAML into libyaml's events, with the colons that Go's YAML readers accept and libyaml rejects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_COLONS = 30  # rejected colons of a text; each costs another parse of the text before it
_MOST_REPEATED = 100_000  # events that are parsed again, for all colons together


def events(text: str) -> Iterator[Any]:
    """Yield PyYAML's events of `text`; their marks are positions in `text`. Raises yaml.YAMLError at an error.

    libyaml rejects `[a:]` and `{a:, b: 1}`, because a bracket or comma follows the colon. In Go, a colon is part of the
    string unless a space follows. Such a colon is replaced by a character that is not in the text, and restored in the
    events.
    """
    colon = ""
    source = text
    yielded = repeated = 0
    for attempt in range(_MOST_COLONS + 1):
        try:
            for number, event in enumerate(yaml.parse(source, Loader=_Loader)):
                if number < yielded:
                    repeated += 1
                    continue
                if colon and type(event) is yaml.ScalarEvent:
                    event.value = event.value.replace(colon, ":")
                yielded += 1
                yield event
            break
        except yaml.scanner.ScannerError as error:
            mark: Any = error.problem_mark
            index = mark.index if mark and error.problem == "found unexpected ':'" else -1
            colon = colon or next((one for one in map(chr, range(0xE000, 0xF900)) if one not in text), "")
            if index < 0 or not colon or attempt == _MOST_COLONS or repeated + yielded > _MOST_REPEATED:
                raise
            source = f"{source[:index]}{colon}{source[index + 1 :]}"
