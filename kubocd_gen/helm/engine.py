"""helm as a template engine. What renders is imported when there is something to render."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.helm.process import HelmPool

if TYPE_CHECKING:
    from kubocd_gen.helm.batch_run import Outcome
    from kubocd_gen.helm.renderer import Renderer
    from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit


class Helm:
    """A template engine that gives KuboCD's results with the helm binary.

    `jobs` is the maximum number of helm processes at a time, if memory allows; it does not affect the output. All of
    them spend from `budget`. Temporary charts are removed, or kept in `debug_dir` if it is given.
    """

    def __init__(
        self, binary: Path, *, jobs: int = 2, budget: Budget | None = None, debug_dir: Path | None = None
    ) -> None:
        self.pool = HelmPool(binary, jobs=jobs, budget=budget)
        self._debug_dir = debug_dir
        self._lock = Lock()
        self._renderer: Renderer | None = None

    def render(self, units: Sequence[Unit], functions: Functions) -> list[list[Outcome]]:
        """Return the output or the failure of each template of each Unit. See `Renderer.render`."""
        return self._used().render(units, functions)

    def to_yaml(self, values: Sequence[Any]) -> list[str]:
        """Return each JSON-like value as helm's `toYaml` prints it. See `Renderer.to_yaml`."""
        return self._used().to_yaml(values)

    def check(self, templates: Sequence[Template]) -> list[list[TemplateFailure]]:
        """Return the errors of each template that do not depend on a model. See `Renderer.check`."""
        return self._used().check(templates)

    def prepare(self, templates: Iterable[Template]) -> None:
        """Rewrite templates for `render` ahead of time, while another helm run is in progress."""
        self._used().prepare(templates)

    def _used(self) -> Renderer:
        with self._lock:  # threads must share the names and the rewritten templates
            if self._renderer is None:
                from kubocd_gen.helm.renderer import Renderer

                self._renderer = Renderer(self.pool, self._debug_dir)
            return self._renderer
