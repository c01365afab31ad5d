"""Records that enter and leave the optimiser; importing them does not load TensorFlow."""

from __future__ import annotations
