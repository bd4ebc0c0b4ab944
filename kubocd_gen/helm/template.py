"""Templates to render, their models, and the failure of a rendering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.model.resources import ImageRedirect


@dataclass(frozen=True, slots=True)
class Template:
    """A template of a package, preceded by the package's `templateHeader`: `header + text` is parsed as a whole."""

    header: str
    text: str

    @property
    def source(self) -> str:
        return self.header + self.text


@dataclass(frozen=True, slots=True)
class Unit:
    """The templates of one Release, rendered in order on one mutable model.

    The model is `model` with `Context` set to `context` and `ImageRedirector` set to a pointer. Units that have the
    same `context` object share it: each distinct object is passed to helm once. No Unit sees another's changes.

    `parameters` is rendered first, on a model of its own, because KuboCD makes a new model for the other templates:
    they see what it changes in the Context, but not in the Release. Its `Parameters` are a nil map.
    """

    context: Mapping[str, Any]
    model: Mapping[str, Any]
    templates: tuple[Template, ...]
    parameters: Template | None = None

    @property
    def all_templates(self) -> tuple[Template, ...]:
        """The templates in the order of rendering; that of the parameters, if there is one, is the first."""
        return self.templates if self.parameters is None else (self.parameters, *self.templates)


@dataclass(frozen=True, slots=True)
class Functions:
    """The data that `imageRedirect`, `resolveDNS` and `getHostByName` return.

    `hosts` maps host names to addresses; a name with a leading dot is a domain with all names below it. Rendering adds
    to `unknown` the names at which templates failed because they have no address.
    """

    image_redirects: tuple[ImageRedirect, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set, compare=False)


@dataclass(frozen=True, slots=True)
class TemplateFailure:
    """The reason why a template has no output.

    `line` and `column` count from 1, columns in characters, in the Template's `text`, or in its `header` if
    `in_header`. A syntax error has a column only if it is certain; a template stopped by a limit has neither.
    """

    message: str
    line: int | None = None
    column: int | None = None
    in_header: bool = False
    hint: str | None = None
    code: str = "template-error"
    host: str | None = None  # the name that has no address

    @classmethod
    def of(cls, error: ProblemsError) -> TemplateFailure:
        """Return the failure of a template that was not rendered because of `error`."""
        return cls(error.problem.message, hint=error.problem.hint, code=error.problem.code)

    def problem(self, label: str, position: Position, hint: str | None = None) -> Problem:
        """Return a problem of the template `label`, which is at `position`; `hint` replaces the failure's own hint."""
        return Problem(self.code, f"{label}: {self.message}", position, hint or self.hint)
