"""Settings of libraries that hold for a whole process, made when a package of ours is imported.

Workers of any runner import what they unpickle and nothing else, and so do the processes that the
codecs run in. So each setting is made where no process can have the code that needs it without it.

| setting | made by importing | because |
|---|---|---|
| `prefer_onednn` | `photoveil.transforms` | TensorFlow reads it as it is imported |
| `keep_float32` | `photoveil.transforms.cloak.dssim` | what computes DSSIM needs all bits |
| `wait_asleep` | `photoveil.transforms.visibility` | FLIP's threads read it as they are loaded |
| `leave_size_to_codecs` | `photoveil.transforms.codecs` | what decodes photos opens any size |
| `hush_tifffile` | `photoveil.transforms.codecs` | what decodes photos uses tifffile |

Functions import what they set up: this module is loaded with `photoveil.transforms`, before all.
What a command shows on the screen is the affair of `photoveil.pipeline.quiet_logs`.
"""

from __future__ import annotations

import logging
import os


def prefer_onednn() -> None:
    """Let TensorFlow use oneDNN's convolutions, unless the environment says otherwise.

    By itself it takes them only on the newest processors. They take less time on older ones too,
    and give a face the same bits wherever it stands in a batch, which Eigen's do not: it splits
    its sums by the rows of a batch.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def keep_float32() -> None:
    """Have GPUs multiply all bits of a float32.

    New ones would round to ten bits what they multiply. A variance, the small difference of large
    squares, is lost in that: DSSIM comes out too large, and cloaks too weak.
    """
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)


def wait_asleep() -> None:
    """Let threads of OpenMP sleep while they wait, unless the environment says otherwise.

    FLIP divides each step among them. By default they wait for the next one in a loop, which takes
    a core from the photo that is decoded meanwhile: half of what FLIP costs.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def leave_size_to_codecs() -> None:
    """Have Pillow open a photo of any size.

    The limit that counts is the caller's `max_pixels`, checked before any pixel is decoded.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None


def hush_tifffile() -> None:
    """Silence tifffile: what it finds wrong with a file becomes that file's reason instead."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
