"""Objects between processes: the arrays in them are handed over, and everything arrives."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photoveil.transforms.photo.array_pipe import ArrayPipe

MANY = 2_000_000


@pytest.fixture
def ends() -> Iterator[tuple[ArrayPipe, ArrayPipe]]:
    one, other = (ArrayPipe(end) for end in socket.socketpair())
    yield one, other
    one.close()
    other.close()


def through(ends: tuple[ArrayPipe, ArrayPipe], message: Any) -> Any:
    sender = threading.Thread(target=ends[0].send, args=[message])
    sender.start()
    received = ends[1].recv()
    sender.join()
    return received


@pytest.mark.parametrize(
    "array",
    [
        np.arange(MANY, dtype=np.int16),
        np.arange(MANY, dtype=np.float32).reshape(1000, -1)[:, ::2],
        np.asfortranarray(np.arange(MANY, dtype=np.uint8).reshape(-1, 2, 5)),
        np.zeros((0, 3), np.float64),
        np.arange(7),
    ],
    ids=["large", "strided", "by columns", "empty", "small"],
)
def test_arrays_arrive_and_can_be_written_to(
    ends: tuple[ArrayPipe, ArrayPipe], array: np.ndarray
) -> None:
    before = array.copy()
    received = through(ends, array)
    assert received.dtype == array.dtype
    np.testing.assert_array_equal(received, array)
    received += 1
    np.testing.assert_array_equal(array, before)


def test_several_arrays_and_bytes_arrive_in_one_object(ends: tuple[ArrayPipe, ArrayPipe]) -> None:
    message = {
        "name": "é",
        "data": bytes(MANY),
        "arrays": [np.full(size, size, np.uint32) for size in (1, 40_001, 33_333, 100_000)],
    }
    received = through(ends, message)
    assert (received["name"], received["data"]) == (message["name"], message["data"])
    for one, other in zip(received["arrays"], message["arrays"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_array_outlives_the_pipe_and_no_file_stays_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    one, other = (ArrayPipe(end) for end in socket.socketpair())
    received = [through((one, other), np.full(MANY, number)) for number in range(5)]
    one.close()
    other.close()
    assert [array[-1] for array in received] == list(range(5))
    del received
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_large_arrays_do_not_go_through_the_socket(ends: tuple[ArrayPipe, ArrayPipe]) -> None:
    """The sender needs no reader for them: a socket holds some hundred kB."""
    if not hasattr(os, "memfd_create"):
        pytest.skip("no files in memory: not Linux")
    ends[0].send(np.arange(MANY))
    np.testing.assert_array_equal(ends[1].recv(), np.arange(MANY))


def test_the_end_of_the_other_side_is_told(ends: tuple[ArrayPipe, ArrayPipe]) -> None:
    ends[0].close()
    with pytest.raises(EOFError):
        ends[1].recv()
    with pytest.raises(ConnectionError):
        ends[1].send(np.arange(MANY))
