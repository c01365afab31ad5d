"""What a process frees goes back to the system, and what it still holds stays as it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="of glibc, and of Linux's madvise")

_HELD = """
import os
from photoveil.transforms import spare_memory

def megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
"""


def _said(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _HELD + script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_free_pages_of_the_heap_go_back() -> None:
    script = """
pieces = [bytearray(60_000) for _ in range(2000)]
kept = pieces[-1]  # the last one: below it the heap does not shrink by itself
del pieces
before = megabytes()
spare_memory.give_heap_back()
print(before - megabytes(), kept == bytes(60_000))
"""
    freed, is_kept = _said(script)
    assert float(freed) > 80
    assert is_kept == "True"


def test_pages_of_freed_tensors_go_back_and_tensors_in_use_stay() -> None:
    script = """
import numpy as np
import tensorflow as tf

spare_memory.reserve_for_tensors()
taken = [tf.fill((25_000_000,), float(number)) for number in range(4)]
kept = taken[1]
del taken
before = megabytes()
spare_memory.give_back()
print(before - megabytes(), bool((kept.numpy() == 1).all()))
print(bool((tf.fill((25_000_000,), 7.0).numpy() == 7).all()))
"""
    freed, is_kept, is_written_anew = _said(script)
    assert float(freed) > 200  # of 300
    assert (is_kept, is_written_anew) == ("True", "True")


def test_a_process_without_tensors_does_not_load_tensorflow() -> None:
    script = """
import sys
spare_memory.give_back()
print("tensorflow" in sys.modules)
"""
    assert _said(script) == ["False"]


def test_where_no_range_is_free_tensors_are_left_as_they_are() -> None:
    script = """
import tensorflow as tf

def full(**_):
    raise tf.errors.ResourceExhaustedError(None, None, "full")

tf.raw_ops.Empty = full
spare_memory.reserve_for_tensors()
print(spare_memory._is_reserved)
spare_memory._is_reserved = True  # and the range has been filled since
spare_memory.give_back()
"""
    assert _said(script) == ["False"]
