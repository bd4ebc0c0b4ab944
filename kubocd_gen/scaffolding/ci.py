"""The files that have others run kcd-gen: pre-commit on a commit, GitHub or GitLab on what is pushed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kubocd_gen import __version__
from kubocd_gen.checkout.files import CONFIGURATION, CheckoutFiles
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.project import LOCK_FILE, PROJECT_FILE
from kubocd_gen.package_data import scaffolds
from kubocd_gen.scaffolding.files import Addition, ScaffoldFile, present
from kubocd_gen.scaffolding.hosting import GITHUB_WORKFLOWS, GITLAB_FILE, CiSystem
from kubocd_gen.scaffolding.yaml_lists import scalars, with_item

HOOKS_FILE = ".pre-commit-config.yaml"
_OURS = "kcd-gen"
_HOOKS_HEADING = "# `pre-commit install`, once in each clone: a commit then carries what its sources compile to.\n"
_GITLAB_HEADING = (
    "# Checks that the output is what the sources compile to, and tells merge requests what they change.\n"
)


def hook(root: Path, folder: str) -> ScaffoldFile | Addition:
    """pre-commit's configuration with kcd-gen's hook. `folder` is the project's, relative to `root`, or empty.

    Raises ProblemsError `unusable-file`, as the others here do.
    """
    return _with_item(root / HOOKS_FILE, root, "repos", _rendered("pre-commit-item", folder), _HOOKS_HEADING)


def ci_file(ci: CiSystem, root: Path, folder: str, branches: tuple[str, ...]) -> ScaffoldFile | Addition:
    """The CI's file that runs kcd-gen; where another of its files does that already, this one."""
    if ci == "gitlab":
        return _with_item(root / GITLAB_FILE, root, "include", _rendered("gitlab-item", folder), _GITLAB_HEADING)
    path = root / GITHUB_WORKFLOWS / "kcd-gen.yaml"
    for other in _other_workflows(path):
        if (data := _small_file(other, root)) and _names_us(data.decode("utf-8", "replace")):
            return ScaffoldFile(other, data, data)
    text = _rendered("github", folder, branches)
    return ScaffoldFile(path, text.encode(), present(path, root))


def _rendered(name: str, folder: str, branches: tuple[str, ...] = ()) -> str:
    template = scaffolds("init").get_template(f"{name}.yaml.j2")
    return template.render(version=__version__, folder=folder, project=PROJECT_FILE, lock=LOCK_FILE, branches=branches)


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
