"""Standard streams that can be closed, full, or unable to encode a character."""

from __future__ import annotations

import io
import os
import sys


class StreamError(Exception):
    """A standard stream cannot be written, for example because the disk is full."""


class _Stream(io.TextIOWrapper):
    """A standard stream whose errors differ from those of other files, and that escapes what its encoding lacks."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._label = {"<stdout>": "standard output", "<stderr>": "standard error"}.get(stream.name, stream.name)
        encoding, line_buffering, write_through = stream.encoding, stream.line_buffering, stream.write_through
        super().__init__(
            stream.detach(), encoding, "backslashreplace", line_buffering=line_buffering, write_through=write_through
        )

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise self._reported(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise self._reported(error) from error

    def _reported(self, error: OSError) -> Exception:
        if isinstance(error, BrokenPipeError):
            return error
        return StreamError(f"cannot write to {self._label}: {error.strerror}")


def prepare_standard_streams() -> None:
    """Replace standard output and standard error by streams that raise StreamError.

    Closed standard streams are connected to the null device, because files and pipes must not get their descriptors.
    """
    for descriptor, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor, which is this one
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - until the end
        elif mode == "w" and type(stream) is io.TextIOWrapper:
            stream = _Stream(stream)
        else:
            continue
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)  # which is asked for the size of the terminal
