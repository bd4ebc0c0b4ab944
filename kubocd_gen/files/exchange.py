"""The exchange of two directory entries in one step, so that readers always find one of them."""

from __future__ import annotations

import errno
import os
import sys

_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)  # an old kernel, a file system, a sandbox
_IN_ONE_STEP = 2  # RENAME_EXCHANGE of Linux (renameat2(2)), and RENAME_SWAP of macOS (renameatx_np(2))


def exchange(one: tuple[int, str], other: tuple[int, str]) -> bool:
    """Exchange two entries, each an open directory and a name in it. Symlinks are exchanged, not followed.

    Returns False, without any change, if the system does not support it. Raises OSError.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    try:
        call = libc.renameatx_np if sys.platform == "darwin" else libc.renameat2
    except AttributeError:  # a libc without it
        return False
    if not call(one[0], os.fsencode(one[1]), other[0], os.fsencode(other[1]), _IN_ONE_STEP):
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), one[1], None, other[1])
