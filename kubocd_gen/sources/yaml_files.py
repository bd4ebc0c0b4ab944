"""Find the documents of any kind in the YAML files of a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.discovery import Mention, read_source
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.checkout.walk import real_directories
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kube_yaml.reader import read_documents

_SUFFIXES = (".yaml", ".yml")


def find_documents(
    root: Path, mentions: Sequence[Mention], ignore: Sequence[Path] = (), files: CheckoutFiles | None = None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the maps in the YAML files below `root` with one of `mentions`, each with its file relative to `root`.

    Files in `ignore` and in hidden directories are left out. Symlinks are not followed. Unreadable files and invalid
    YAML are ignored because they are not kcd-gen's files. Only `files` are read, by default those of the checkout.
    """
    ignored = {os.path.realpath(path) for path in ignore}
    files, budget = files or CheckoutFiles.around(root), Budget()
    for directory, subdirectories, names in real_directories(root, budget):
        subdirectories[:] = sorted(
            name
            for name in subdirectories
            if not name.startswith(".") and os.path.realpath(f"{directory}/{name}") not in ignored
        )
        for name in sorted(names):
            path = directory / name
            if name.endswith(_SUFFIXES) and not path.is_symlink():
                display = path.relative_to(root).as_posix()
                yield from ((display, value) for value in maps_in(path, display, mentions, files, budget))


def maps_in(
    path: Path, display: str, mentions: Sequence[Mention], files: CheckoutFiles, budget: Budget | None = None
) -> list[Mapping[str, Any]]:
    """Return the maps in a YAML file with one of `mentions`; none if it can't be read. Raises BudgetExceededError."""
    try:
        file = read_source(path, display, mentions, files, budget)
        values = [document.value for document in read_documents(file.text, display)] if file else []
    except BudgetExceededError:
        raise
    except ProblemsError:
        return []
    return [value for value in values if isinstance(value, Mapping)]
