"""What the `init` commands share."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kubocd_gen.cli.options import option
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.scaffolding.files import ScaffoldFile

_DIFFERENT = 3
_REPOSITORY = re.compile(r"[a-zA-Z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+")

image_option = option("--image", metavar="REPOSITORY", help="Where the server's image will be pushed, without a tag.")
force_option = option("--force", is_flag=True, help="Replace files that differ from what would be written.")
dry_run_option = option("--dry-run", is_flag=True, help="Write nothing; say what would be done.")


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
    return _DIFFERENT if any(file.change == "different" for file in files) and not force else 0
