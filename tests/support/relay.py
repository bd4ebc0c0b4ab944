"""Forward connections to a port in the network namespace of another process: `relay.py PID PORT` prints its own port.

A socket belongs to the network namespace in which it was created. The listener is created here, before this process
enters the other namespace.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import sys

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000  # CLONE_NEWUSER and CLONE_NEWNET of setns(2)


def _enter(pid: int, kind: str, flag: int) -> None:
    descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, flag):
        raise OSError(ctypes.get_errno(), f"can't enter the {kind} namespace")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:  # one side was reset, and so the other is too
        writer.transport.abort()


async def _relay(listener: socket.socket, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_copy(reader, other), _copy(other_reader, writer))
        writer.close()
        other.close()

    server = await asyncio.start_server(connected, sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0))
    if os.geteuid() != 0:
        _enter(int(sys.argv[1]), "user", _NEW_USER)
    _enter(int(sys.argv[1]), "net", _NEW_NET)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    asyncio.run(_relay(listening, int(sys.argv[2])))
