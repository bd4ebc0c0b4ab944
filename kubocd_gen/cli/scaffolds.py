"""What the `init` commands share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from kubocd_gen.cli.command import Flag, option_group
from kubocd_gen.cli.options import QuietOptions
from kubocd_gen.cli.problems import DIFFERENCE
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.scaffolding.files import ScaffoldFile

_REPOSITORY = re.compile(r"[a-zA-Z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+")


@option_group
class ScaffoldOptions(QuietOptions):
    """Of a command that writes files which are the user's from then on."""

    __slots__ = ()

    image: Annotated[
        str | None, Flag("Where the server's image will be pushed, without a tag.", metavar="REPOSITORY")
    ] = None
    force: Annotated[bool, Flag("Replace files that differ from what would be written.")] = False
    dry_run: Annotated[bool, Flag("Write nothing; say what would be done.")] = False


def check_image(image: str | None) -> None:
    """Raises ProblemsError `usage` where `--image` is not the name of a repository."""
    if image and not _REPOSITORY.fullmatch(image):
        hint = "it is REGISTRY/REPOSITORY without a tag, such as registry.example.com/platform/charts"
        raise ProblemsError(Problem("usage", f"--image '{image}' is not the name of a repository", hint=hint))


def heading(*, dry_run: bool) -> str:
    """What stands above what is left to the user."""
    return "Next, without --dry-run:" if dry_run else "Next:"


def exit_code(files: Iterable[ScaffoldFile], *, force: bool) -> int:
    """3 where a file was left alone because somebody has changed it."""
    return DIFFERENCE if any(file.change == "different" for file in files) and not force else 0
