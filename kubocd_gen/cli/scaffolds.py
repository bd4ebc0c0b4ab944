"""Options and helpers that the `init` commands share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from kubocd_gen.cli.command import Flag, option_group
from kubocd_gen.cli.options import QuietOptions
from kubocd_gen.cli.problems import DIFFERENCE
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.scaffolding.files import ScaffoldFile

_REPOSITORY = re.compile(r"[a-zA-Z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+")


@option_group
class ScaffoldOptions(QuietOptions):
    """Options of a command that writes files for the user to edit."""

    __slots__ = ()

    image: Annotated[
        str | None,
        Flag("The repository that the server's image will be pushed to, without a tag.", metavar="REPOSITORY"),
    ] = None
    force: Annotated[bool, Flag("Replace existing files that differ.")] = False
    dry_run: Annotated[bool, Flag("Write nothing; print what would be done.")] = False


def check_image(image: str | None) -> None:
    """Raise ProblemsError `usage` if `--image` is not the name of a repository."""
    if image and not _REPOSITORY.fullmatch(image):
        hint = "use REGISTRY/REPOSITORY without a tag, such as registry.example.com/platform/charts"
        raise ProblemsError.of("usage", f"--image '{image}' is not a valid repository name", hint=hint)


def heading(*, dry_run: bool) -> str:
    """Return the heading of the list of next steps."""
    return "Next, without --dry-run:" if dry_run else "Next:"


def exit_code(files: Iterable[ScaffoldFile], *, force: bool) -> int:
    """Return 3 if a file that differs was kept, otherwise 0."""
    return DIFFERENCE if any(file.change == "different" for file in files) and not force else 0
