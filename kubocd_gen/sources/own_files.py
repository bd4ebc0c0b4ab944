"""kcd-gen's own files, `kcd-gen.yaml` and `kcd-gen.lock`: YAML that is held to a schema in `schemas/kcd-gen`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubocd_gen.compiler.structural import admit
from kubocd_gen.compiler.wording import dotted
from kubocd_gen.diagnostics import KcdError, KcdErrors, Position
from kubocd_gen.resources import schema
from kubocd_gen.sources.positions import find_position
from kubocd_gen.sources.yaml_reader import read_document


def read_own_file(path: Path, display: str, *, what: str, code: str, schema_name: str) -> tuple[Mapping[str, Any], str]:
    """The values of the file, with the schema's defaults, and its text.

    `what` opens the sentences about the file, as in "the lock". Raises KcdError `code` where it can't be read, and
    KcdErrors for what the schema refuses, each with its place in the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        hint = "save it as UTF-8" if isinstance(error, UnicodeDecodeError) else None
        raise KcdError(f"{what} can't be read: {reason}", code=code, position=Position(display), hint=hint) from error
    value = read_document(text, display, strict=True)
    admitted, violations = admit({} if value is None else value, schema(f"kcd-gen/{schema_name}")["schema"])
    if violations:
        raise KcdErrors(
            KcdError(
                f"{dotted(one.path) or what} {one.message}",
                code=one.code,
                position=find_position(text, display, 0, one.path),
                hint=one.hint,
            )
            for one in violations
        )
    return admitted, text
