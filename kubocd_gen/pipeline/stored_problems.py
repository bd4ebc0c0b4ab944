"""Problems as values of a state: those of a Release are reported again although it is not compiled again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from kubocd_gen.diagnostics.problems import Position, Problem, Problems
from kubocd_gen.files.paths import FilePath, display_path
from kubocd_gen.state.store import Json


def stored_problems(found: Iterable[Problem], root: Path, contents: Mapping[str, str]) -> Json | None:
    """Return problems with the content of the source files that they point to; None if they can't be restored.

    Names of files are relative to `root`, the project's. `contents` are the digests of the sources by their name.
    """
    problems = []
    files: dict[str, str] = {}
    for one in found:
        place = None
        if position := one.position:
            path = position.path
            is_file = False
            if isinstance(path, FilePath):
                restored = restored_path(path, root)
                if not isinstance(restored, FilePath) or path.absolute != restored.absolute:
                    return None
                is_file = True
            if path in contents:
                files[path] = contents[path]
            elif is_file:  # a file that is not a source can change without notice
                return None
            place = [path, position.line, position.column, is_file]
        problems.append([one.severity, one.code, one.message, place, one.hint, one.release, one.cause, one.exit_code])
    return {"problems": problems, "files": files}


def restored_path(name: str, root: Path) -> str:
    """Return the name of a source file, which also knows where the file is."""
    return display_path(root / name, root)


def are_current(stored: Json, contents: Mapping[str, str]) -> bool:
    """Return whether no file to which the problems point has changed, so that their lines are still right."""
    return all(contents.get(name) == content for name, content in stored["files"].items())


def report_stored(stored: Json, root: Path, problems: Problems) -> None:
    """Add stored problems to `problems`."""
    adding = {"error": problems.error, "warning": problems.warning, "note": problems.note}
    for severity, code, message, place, hint, release, cause, status in stored["problems"]:
        position = None
        if place is not None:
            name, line, column, is_file = place
            position = Position(restored_path(name, root) if is_file else name, line, column)
        adding[severity](Problem(code, message, position, hint, exit_code=status, cause=cause), release=release)
