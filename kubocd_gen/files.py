"""Files that appear whole or not at all, and folders that one process at a time writes to."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def locked_folder(folder: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `folder` for this process alone. It is locked itself, so that no lock file is left in a checkout.

    Another process that holds it is waited for, after a call of `waiting`. Raises OSError where there is no folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            # NFS lends no lock on a folder; what is renamed into place is whole all the same.
            if error.errno not in (errno.EBADF, errno.ENOLCK, errno.ENOTSUP):
                raise
        yield
    finally:
        os.close(descriptor)
