"""The events of a YAML text: libyaml's, but for a colon that Go's readers of YAML take and libyaml does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_COLONS = 30  # of a text; each costs another parse of what stands before it
_MOST_REPEATED = 100_000  # events that are parsed again, over all colons


def events(text: str) -> Iterator[Any]:
    """PyYAML's events of `text`, whose marks fit it. Raises yaml.YAMLError, after the events before the error.

    `[a:]` and `{a:, b: 1}` are errors to libyaml, because a bracket or comma follows the colon; in Go the colon is
    part of the text unless a space follows. Such a colon is hidden behind a character that the text does not have.
    """
    colon = ""
    source = text
    given = repeated = 0
    for attempt in range(_MOST_COLONS + 1):
        try:
            for number, event in enumerate(yaml.parse(source, Loader=_Loader)):
                if number < given:
                    repeated += 1
                    continue
                if colon and type(event) is yaml.ScalarEvent:
                    event.value = event.value.replace(colon, ":")
                given += 1
                yield event
            break
        except yaml.scanner.ScannerError as error:
            mark: Any = error.problem_mark
            place = mark.index if mark and error.problem == "found unexpected ':'" else -1
            colon = colon or next((one for one in map(chr, range(0xE000, 0xF900)) if one not in text), "")
            if place < 0 or not colon or attempt == _MOST_COLONS or repeated + given > _MOST_REPEATED:
                raise
            source = f"{source[:place]}{colon}{source[place + 1 :]}"
