"""What is rendered, and what a rendering that failed says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubocd_gen.diagnostics.problems import Position, Problem


@dataclass(frozen=True, slots=True)
class Template:
    """A template of a package, behind the package's `templateHeader`: what is parsed is `header + text`, with nothing
    between.
    """

    header: str
    text: str

    @property
    def source(self) -> str:
        return self.header + self.text


@dataclass(frozen=True, slots=True)
class Unit:
    """The templates of one Release, rendered in order on one mutable model.

    The model is `model` with `Context` set to `context` and, unless `image_redirector` is False, `ImageRedirector` to a
    pointer. `context` is shared between Units by identity: each distinct object goes to helm once. No Unit sees what
    another changed.
    """

    context: Mapping[str, Any]
    model: Mapping[str, Any]
    templates: tuple[Template, ...]
    image_redirector: bool = True


@dataclass(frozen=True, slots=True)
class ImageRedirect:
    """A Config's `imageRedirects` entry. `image_pull_secrets` is None where none are given, which templates see as a
    nil list.
    """

    old_prefix: str
    new_prefix: str
    image_pull_policy: str
    image_pull_secrets: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Functions:
    """What the functions that reach outside answer with: `imageRedirect`, and `resolveDNS` and `getHostByName`.

    `hosts` maps a host name to its address; a name with a leading dot stands for the domain and all names below it.
    """

    image_redirects: tuple[ImageRedirect, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TemplateFailure:
    """Why a template has no output.

    `line` and `column` count from 1, columns in characters, in the Template's `text`, or in its `header` when
    `in_header`. What does not parse has a column only where that is sure, what is stopped by a limit has neither.
    """

    message: str
    line: int | None = None
    column: int | None = None
    in_header: bool = False
    hint: str | None = None
    code: str = "template-error"

    def problem(self, label: str, position: Position, hint: str | None = None) -> Problem:
        """Return it as a problem of the template `label`, which is at `position`; `hint` replaces its own."""
        return Problem(self.code, f"{label}: {self.message}", position, hint or self.hint)
