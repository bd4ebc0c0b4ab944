"""The files that have others run kcd-gen: pre-commit on a commit, GitHub or GitLab on what is pushed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubocd_gen.checkout.files import CONFIGURATION, CheckoutFiles
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.project import LOCK_FILE, PROJECT_FILE
from kubocd_gen.package_data import scaffolds, template_folder
from kubocd_gen.scaffolding.files import Addition, ScaffoldFile, present
from kubocd_gen.scaffolding.hosting import GITHUB_WORKFLOWS, GITLAB_COMPONENT, GITLAB_FILE, CiSystem, Hosting
from kubocd_gen.scaffolding.installation import InstallSource
from kubocd_gen.scaffolding.yaml_lists import scalars, with_item

HOOKS_FILE = ".pre-commit-config.yaml"
_OURS = "kcd-gen"
_HOOKS_HEADING = "# `pre-commit install`, once in each clone: a commit then carries what its sources compile to.\n"
_GITLAB_HEADING = (
    "# Checks that the output is what the sources compile to, and tells merge requests what they change.\n"
)


def hook(root: Path, folder: str, source: InstallSource | None) -> Iterator[ScaffoldFile | Addition]:
    """pre-commit's configuration with kcd-gen's hook. `folder` is the project's, relative to `root`, or empty.

    Without a source, only a configuration that runs kcd-gen already. Raises ProblemsError `unusable-file`, as all
    functions here do.
    """
    path = root / HOOKS_FILE
    if source is None:
        yield from _unchanged(path, root)
        return
    yield _with_item(path, root, "repos", _rendered("pre-commit-item", folder, source=source), _HOOKS_HEADING)


def ci_files(
    hosting: Hosting, ci: CiSystem, root: Path, folder: str, source: InstallSource | None
) -> Iterator[ScaffoldFile | Addition]:
    """The CI's files that run kcd-gen; where another of its files does that already, this one.

    Without a source, only files that run kcd-gen already.
    """
    if ci == "gitlab":
        yield from _gitlab_files(root, folder, source)
        return
    path = root / GITHUB_WORKFLOWS / "kcd-gen.yaml"
    for other in _other_workflows(path):
        if (data := _small_file(other, root)) and _names_us(data.decode("utf-8", "replace")):
            yield ScaffoldFile(other, data, data)
            return
    if source is None:
        yield from _unchanged(path, root)
        return
    text = _rendered("github", folder, source=source, branches=hosting.branches, action=source.action(hosting.host))
    yield ScaffoldFile(path, text.encode(), present(path, root))


def _gitlab_files(root: Path, folder: str, source: InstallSource | None) -> Iterator[ScaffoldFile | Addition]:
    """The pipeline, and the component that it includes: a file of this repository, for no server has it for all."""
    there = _unchanged(root / GITLAB_FILE, root)
    if source is None:
        yield from there
        return
    item = _rendered("gitlab-item", folder, source=source, component=f"/{GITLAB_COMPONENT}")
    yield _with_item(root / GITLAB_FILE, root, "include", item, _GITLAB_HEADING)
    if all(GITLAB_COMPONENT.encode() in file.after for file in there):
        path = root / GITLAB_COMPONENT
        yield ScaffoldFile(path, (template_folder() / "kcd-gen/template.yml").read_bytes(), present(path, root))


def _unchanged(path: Path, root: Path) -> list[ScaffoldFile]:
    """The file as it is, if it runs kcd-gen."""
    before = present(path, root)
    return [ScaffoldFile(path, before, before)] if before and _names_us(before.decode("utf-8", "replace")) else []


def _rendered(name: str, folder: str, **words: Any) -> str:
    template = scaffolds("init").get_template(f"{name}.yaml.j2")
    return template.render(folder=folder, project=PROJECT_FILE, lock=LOCK_FILE, **words)


def _with_item(path: Path, root: Path, key: str, item: str, heading: str) -> ScaffoldFile | Addition:
    before = present(path, root)
    by_hand = Addition(path, f"below '{key}'", item)
    if before is None:
        after = with_item(heading, key, item)
    else:
        try:
            text = before.decode()
        except UnicodeDecodeError:
            return by_hand
        after = text if _names_us(text) else with_item(text, key, item)
    return by_hand if after is None else ScaffoldFile(path, after.encode(), before, is_shared=True)


def _names_us(text: str) -> bool:
    return any(_OURS in one for one in scalars(text))


def _other_workflows(ours: Path) -> Iterator[Path]:
    if ours.parent.is_dir():
        yield from sorted(path for path in ours.parent.iterdir() if path.suffix in (".yaml", ".yml") and path != ours)


def _small_file(path: Path, root: Path) -> bytes | None:
    """The content of a regular file of the checkout; None for anything else, and for what is too large."""
    try:
        return CheckoutFiles(root).read(path, str(path), CONFIGURATION)
    except (OSError, ProblemsError):
        return None
