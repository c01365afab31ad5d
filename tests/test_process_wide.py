"""Settings of whole processes hold in any process that imports what needs them, and no more."""

from __future__ import annotations

import subprocess
import sys

import pytest

ONEDNN = "os.environ.get('TF_ENABLE_ONEDNN_OPTS')"
PILLOW = "__import__('PIL.Image').Image.MAX_IMAGE_PIXELS"
TIFFFILE = "logging.getLogger('tifffile').level"
TF32 = "__import__('tensorflow').config.experimental.tensor_float_32_execution_enabled()"
LOADED = "'tensorflow' in sys.modules, 'apache_beam' in sys.modules"


@pytest.mark.parametrize(
    ("module", "asked", "expected"),
    [
        ("records", f"{ONEDNN}, {LOADED}", "1 False False"),
        ("codecs.tiff", f"{PILLOW}, {TIFFFILE}, {LOADED}", "None 50 False False"),
        # Loads TensorFlow; test_cloak.py asks the same of its own process.
        pytest.param("cloak.dssim", TF32, "False", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_imports_it_has_the_setting(module: str, asked: str, expected: str) -> None:
    script = (
        "import os; os.environ.pop('TF_ENABLE_ONEDNN_OPTS', None); import logging, sys; "
        f"import photoveil.transforms.{module}; print({asked})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr


def test_the_environment_may_choose_otherwise() -> None:
    script = "import os; os.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'; import photoveil.transforms; "
    done = subprocess.run(
        [sys.executable, "-c", f"{script}print({ONEDNN})"], capture_output=True, text=True
    )
    assert done.stdout.split() == ["0"], done.stderr
