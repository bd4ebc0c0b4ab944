"""kcd-gen's own files, `kcd-gen.yaml` and `kcd-gen.lock`: YAML that is held to a schema in `schemas/kcd-gen`.

Messages name the place and what belongs there, and never quote a value: if such a file is a symlink, or a mistake, its
content is somebody's secret, and messages end up in public logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubocd_gen.checkout.files import CheckoutFiles, FileKind
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.diagnostics.wording import dotted
from kubocd_gen.kube_yaml.errors import YamlError
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.package_data import schema
from kubocd_gen.schema.structural import Violation, admit

_MOST = 100  # problems of a file that are reported; more only a hostile file has
_QUOTED = re.compile(r"'(.*)'", re.DOTALL)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")  # what a field is called, and no secret looks like


def read_own_text(path: Path, display: str, files: CheckoutFiles, kind: FileKind, *, what: str, code: str) -> str:
    """Return the text of a file; `what` opens the sentences about it, as in "the lock".

    Raises ProblemsError: `code` if it can't be read, and `outside-checkout`.
    """
    try:
        return files.read(path, display, kind).decode("utf-8")
    except OSError as error:
        raise ProblemsError(_unreadable(what, error.strerror or str(error), code, display)) from error
    except UnicodeDecodeError as error:
        raise ProblemsError(_unreadable(what, "it is not UTF-8 text", code, display, "save it as UTF-8")) from error


def admit_own_text(text: str, display: str, *, what: str, schema_name: str) -> Mapping[str, Any]:
    """Return the values in `text`, with the schema's defaults.

    Raises YamlError, and ProblemsError for what the schema refuses, each with its place in the file.
    """
    try:
        value = read_document(text, display, strict=True)
    except YamlError as error:
        if (quoted := _QUOTED.search(error.problem.message)) and not _is_harmless(quoted[1], error.problem.code):
            problem = error.problem
            message = _QUOTED.sub("'…'", problem.message)
            raise YamlError(message, code=problem.code, position=problem.position, hint=problem.hint) from None
        raise
    admitted: Mapping[str, Any]
    admitted, violations = admit(
        {} if value is None else value, schema(f"kcd-gen/{schema_name}")["schema"], quote_values=False
    )
    if violations:
        raise ProblemsError(
            *(
                one.problem(f"{_subject(one, what)} {one.message}", find_position(text, display, 0, one.path))
                for one in violations[:_MOST]
            )
        )
    return admitted


def _subject(violation: Violation, what: str) -> str:
    """Return the place of a violation. The name of an unknown field is content, unless it looks like a field's."""
    path = violation.path
    if violation.code == "unknown-field" and not (isinstance(path[-1], str) and _WORD.fullmatch(path[-1])):
        return f"a field of {dotted(path[:-1]) or what}"
    return dotted(path) or what


def _is_harmless(quoted: str, code: str) -> bool:
    """Whether what a reader of YAML quotes is no content: one of YAML's signs, or the name of a field."""
    return len(quoted) <= 2 or (code == "duplicate-key" and _WORD.fullmatch(quoted) is not None)


def _unreadable(what: str, reason: str, code: str, display: str, hint: str | None = None) -> Problem:
    return Problem(code, f"{what} can't be read: {reason}", position=Position(display), hint=hint)
