"""Files that run kcd-gen automatically: the pre-commit configuration, and workflows of GitHub or GitLab."""

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
_NAME = "kcd-gen"
_HOOKS_HEADING = "# Run `pre-commit install` once in each clone: the hook keeps the output up to date in each commit.\n"
_GITLAB_HEADING = "# Checks that the output is up to date, and comments on merge requests with their changes.\n"


def hook(root: Path, directory: str, source: InstallSource | None) -> Iterator[ScaffoldFile | Addition]:
    """Yield the pre-commit configuration with kcd-gen's hook.

    `directory` is the project's directory relative to `root`, or empty. If `source` is None, only an existing
    configuration that runs kcd-gen is returned. Like all functions here, it raises ProblemsError `unusable-file`.
    """
    path = root / HOOKS_FILE
    if source is None:
        yield from _unchanged(path, root)
        return
    yield _with_item(path, root, "repos", _rendered("pre-commit-item", directory, source=source), _HOOKS_HEADING)


def ci_files(
    hosting: Hosting, ci: CiSystem, root: Path, directory: str, source: InstallSource | None
) -> Iterator[ScaffoldFile | Addition]:
    """Yield the CI files that run kcd-gen, or another existing workflow that runs it already.

    If `source` is None, only existing files that run kcd-gen are returned.
    """
    if ci == "gitlab":
        yield from _gitlab_files(root, directory, source)
        return
    path = root / GITHUB_WORKFLOWS / "kcd-gen.yaml"
    for other in _other_workflows(path):
        if (data := _small_file(other, root)) and _mentions_kcd_gen(data.decode("utf-8", "replace")):
            yield ScaffoldFile(other, data, data)
            return
    if source is None:
        yield from _unchanged(path, root)
        return
    text = _rendered("github", directory, source=source, branches=hosting.branches, action=source.action(hosting.host))
    yield ScaffoldFile(path, text.encode(), present(path, root))


def _gitlab_files(root: Path, directory: str, source: InstallSource | None) -> Iterator[ScaffoldFile | Addition]:
    """Yield the pipeline and the component that it includes, a local file because the component is not published."""
    existing = _unchanged(root / GITLAB_FILE, root)
    if source is None:
        yield from existing
        return
    item = _rendered("gitlab-item", directory, source=source, component=f"/{GITLAB_COMPONENT}")
    yield _with_item(root / GITLAB_FILE, root, "include", item, _GITLAB_HEADING)
    if all(GITLAB_COMPONENT.encode() in file.after for file in existing):
        path = root / GITLAB_COMPONENT
        yield ScaffoldFile(path, (template_folder() / "kcd-gen/template.yml").read_bytes(), present(path, root))


def _unchanged(path: Path, root: Path) -> list[ScaffoldFile]:
    """Return the existing file unchanged if it runs kcd-gen."""
    before = present(path, root)
    runs = before is not None and _mentions_kcd_gen(before.decode("utf-8", "replace"))
    return [ScaffoldFile(path, before, before)] if before and runs else []


def _rendered(name: str, directory: str, **variables: Any) -> str:
    template = scaffolds("init").get_template(f"{name}.yaml.j2")
    return template.render(directory=directory, project=PROJECT_FILE, lock=LOCK_FILE, **variables)


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
        after = text if _mentions_kcd_gen(text) else with_item(text, key, item)
    return by_hand if after is None else ScaffoldFile(path, after.encode(), before, is_shared=True)


def _mentions_kcd_gen(text: str) -> bool:
    return any(_NAME in one for one in scalars(text))


def _other_workflows(ours: Path) -> Iterator[Path]:
    if ours.parent.is_dir():
        yield from sorted(path for path in ours.parent.iterdir() if path.suffix in (".yaml", ".yml") and path != ours)


def _small_file(path: Path, root: Path) -> bytes | None:
    """Return the content of a regular file of the checkout; None for anything else and for files that are too large."""
    try:
        return CheckoutFiles(root).read(path, str(path), CONFIGURATION)
    except (OSError, ProblemsError):
        return None
