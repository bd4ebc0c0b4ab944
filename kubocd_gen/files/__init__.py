"""Files and directories on disk, changed through open directories, so that no symlink redirects a write.

`open_directory` opens a path that a user or a project names as a `Directory`, which has all operations on what is
below. `write_whole` writes a single file.
"""

from kubocd_gen.files.directory import (
    Directory,
    made_directory,
    make_directory,
    open_directory,
    read_whole,
    write_whole,
)
from kubocd_gen.files.walk import Entry, SymlinkError, hint_of

__all__ = [
    "Directory",
    "Entry",
    "SymlinkError",
    "hint_of",
    "made_directory",
    "make_directory",
    "open_directory",
    "read_whole",
    "write_whole",
]
