"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4


def write_whole(path: Path, data: bytes) -> None:
    """Replace what is at `path`, or make it: whoever reads sees the old or the new, never half of one.

    The mode of a file that was there stays; a link is replaced, not followed. Raises OSError, and changes nothing.
    """
    staged = path.with_name(f".kcd-gen-{uuid4().hex}")
    try:
        with staged.open("xb") as file:
            file.write(data)
            if path.is_file() and not path.is_symlink():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o7777)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
