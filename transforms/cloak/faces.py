"""What goes in and out of the optimiser; no TensorFlow needed to pass it on."""

from __future__ import annotations
