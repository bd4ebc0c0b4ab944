"""Read kcd-gen's own files, `kcd-gen.yaml` and `kcd-gen.lock`, and validate them by a schema in `schemas/kcd-gen`.

Messages contain positions and expected values, but never quote a value: a file with this name can be a mistake or an
attack, its content another user's secret, and messages are printed in public logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubocd_gen.checkout.files import CheckoutFiles, FileKind
from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.diagnostics.wording import dotted
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.parser import YamlError
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.package_data import schema
from kubocd_gen.schema.structural import Violation, admit

_MOST = 100  # problems of a file that are reported
_QUOTED = re.compile(r"'(.*)'", re.DOTALL)
_INDICATORS = re.compile(r"[^']{1,2}(' or '[^']{1,2})?")  # of YAML, in a message such as: expected ',' or '}'
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")  # matches field names, but no secret


def read_own_text(path: Path, display: str, files: CheckoutFiles, kind: FileKind, *, what: str, code: str) -> str:
    """Return the text of a file; `what` is its name in messages, such as "the lock".

    Raises ProblemsError: `code` if the file cannot be read, and `outside-checkout`.
    """
    position = Position(display)
    try:
        return files.read(path, display, kind).decode("utf-8")
    except OSError as error:
        raise ProblemsError.of(code, f"cannot read {what}: {error.strerror or error}", position) from error
    except UnicodeDecodeError as error:
        message = f"cannot read {what}: it is not valid UTF-8"
        raise ProblemsError.of(code, message, position, "save it as UTF-8") from error


def admit_own_text(
    text: str, display: str, *, what: str, schema_name: str, identity_hint: str | None = None
) -> Mapping[str, Any]:
    """Return the values in `text`, with the schema's defaults.

    If `apiVersion` or `kind` is wrong, only this is reported, with `identity_hint`: the text is probably another file.

    Raises ProblemsError: the first error of the YAML, or all violations of the schema, each with its position.
    """
    try:
        value = read_document(text, display, strict=True)
    except YamlError as error:
        if (quoted := _QUOTED.search(error.problem.message)) and not _is_harmless(quoted[1], error.problem.code):
            raise ProblemsError(replace(error.problem, message=_QUOTED.sub("'…'", error.problem.message))) from None
        raise
    rules = schema(f"kcd-gen/{schema_name}")["schema"]
    admitted, violations = admit({} if value is None else value, rules, quote_values=False)
    if violations:
        wanted = {("apiVersion",), ("kind",)}
        if identity := [one for one in violations if one.path in wanted]:  # other fields of another file don't matter
            violations = [replace(one, hint=identity_hint) for one in identity] if identity_hint else identity
        raise ProblemsError(
            *(
                one.problem(f"{_subject(one, what)} {one.message}", find_position(text, display, 0, one.path))
                for one in violations[:_MOST]
            )
        )
    assert isinstance(admitted, Mapping)
    return admitted


def _subject(violation: Violation, what: str) -> str:
    """Return the path of a violation. An unknown key is content and omitted, unless it looks like a field name."""
    path = violation.path
    if violation.code == "unknown-field" and not (isinstance(path[-1], str) and _WORD.fullmatch(path[-1])):
        return f"a field of {dotted(path[:-1]) or what}"
    return dotted(path) or what


def _is_harmless(quoted: str, code: str) -> bool:
    """Return whether a quotation in a YAML error contains no content: only a YAML indicator or a field name."""
    pattern = _WORD if code == "duplicate-key" else _INDICATORS
    return len(quoted) <= 2 or pattern.fullmatch(quoted) is not None
