"""Objects between two processes, with the arrays in them handed over instead of copied.

The pixels of a photo of 12 megapixels are 36 MB. As pickled bytes through a socket they would be
copied four times, and lie in memory three times at once. Here the sender writes them to a file in
memory (Linux), and the receiver's arrays are that file.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import socket
import struct
from typing import Any

_LEAST = 1 << 16  # bytes of an array that are worth a file
_ALIGNED = 64  # bytes
_HEAD = struct.Struct("<QQ")  # bytes of the pickle; arrays in the file
_SPAN = struct.Struct("<QQ")  # of an array in the file: where it begins, and its bytes


class ArrayPipe:
    """One end of a connected pair of Unix sockets; the other end may be in another process."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, message: Any) -> None:
        """Send an object that can be pickled.

        Raises:
            ConnectionError: the other end is closed.
        """
        with contextlib.ExitStack() as stack:
            file, spans = -1, list[tuple[int, int]]()

            def stays_inside(buffer: pickle.PickleBuffer) -> bool:
                nonlocal file
                raw = buffer.raw()
                if raw.nbytes < _LEAST or not hasattr(os, "memfd_create"):
                    return True
                if file < 0:
                    file = os.memfd_create("photoveil")
                    stack.callback(os.close, file)
                end = sum(spans[-1]) if spans else 0
                spans.append((end + -end % _ALIGNED, raw.nbytes))
                _write(file, raw, spans[-1][0])
                return False

            data = pickle.dumps(message, 5, buffer_callback=stays_inside)
            head = _HEAD.pack(len(data), len(spans)) + b"".join(_SPAN.pack(*one) for one in spans)
            files = [file] if spans else []
            sent = socket.send_fds(self._socket, [head], files)
            self._socket.sendall(head[sent:])
            self._socket.sendall(data)

    def recv(self) -> Any:
        """Wait for an object; its arrays are there as long as they are referred to.

        Raises:
            EOFError: the other end is closed.
        """
        head, files, _, _ = socket.recv_fds(self._socket, _HEAD.size, 1)
        with contextlib.ExitStack() as stack:
            for file in files:
                stack.callback(os.close, file)
            length, count = _HEAD.unpack(head + self._exactly(_HEAD.size - len(head)))
            spans = list(_SPAN.iter_unpack(self._exactly(count * _SPAN.size)))
            shared = memoryview(mmap.mmap(files[0], sum(spans[-1]))) if spans else memoryview(b"")
            data = self._exactly(length)
        return pickle.loads(data, buffers=[shared[at : at + size] for at, size in spans])

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _exactly(self, length: int) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            received = self._socket.recv_into(view)
            if not received:
                raise EOFError
            view = view[received:]
        return data


def _write(file: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(file, data, at)
        data, at = data[written:], at + written
