"""Sources that are the output of another program: `{kustomize: DIR}` and `{flux: DIR}`."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import Problems, ProblemsError
from kubocd_gen.kustomize.build import build
from kubocd_gen.kustomize.staging import Stage
from kubocd_gen.model.project import RenderedSource
from kubocd_gen.model.resources import Resource
from kubocd_gen.processes.children import scratch
from kubocd_gen.sources.built_resources import built_resources
from kubocd_gen.sources.documents import is_kept
from kubocd_gen.sources.encryption import encrypted
from kubocd_gen.sources.environment import expand_environment
from kubocd_gen.sources.flux_tree import FluxTree


def read_rendered(
    sources: Sequence[RenderedSource],
    root: Path,
    problems: Problems,
    *,
    files: CheckoutFiles,
    budget: Budget,
    origin: str = "",
    expand_env: Collection[str] = (),
) -> tuple[list[Resource], bool]:
    """Return the resources of rendered sources, and whether all of them are known; errors are added to `problems`.

    The parameters are those of `read_resources`. `expand_env` applies to what kustomize prints; a Flux Kustomization
    has its own variables. Raises BudgetExceededError.
    """
    found: list[Resource] = []
    complete = True
    for source in sources:
        directory = Path(os.path.realpath(root / source.directory))
        try:
            with scratch("kcd-gen-kustomize-") as temporary:
                stage = Stage(temporary / "tree", root, files, budget, origin)
                if source.kind == "flux":
                    tree = FluxTree(stage, budget, problems)
                    resources = tree.resources(directory)
                    complete &= tree.complete
                else:
                    text = build(stage, directory, stage.add_kustomization(directory))
                    if expand_env:
                        text = expand_environment(text, source.directory, os.environ, expand_env)
                    resources = built_resources(text, stage, directory, budget)
        except BudgetExceededError:
            raise
        except ProblemsError as error:
            complete = False
            problems.error(error)
            continue
        for one in resources:
            if (problem := encrypted(one)) is not None:
                complete = False
                problems.error(problem)
            elif is_kept(one):
                found.append(one)
    return found, complete
