"""Objectives: what a step of the optimiser maximises.

To add an objective, write a function here and enter its name in `OBJECTIVES`.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from photoveil.transforms.embedding.models import WHO
from photoveil.transforms.embedding.normalize import cosine
from photoveil.transforms.embedding.surrogates import Surrogate

Objective = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
"""A function of the embeddings of the changed crops (float32 (N, D), of unit length), of those to
move away from (float32 (N, D)) and of the targets (float32 (N, 192), zeros for a person without
one). It returns the gain, float32 (N,), which the optimiser maximises."""


def evade(found: tf.Tensor, clean: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Move away from the clean embedding."""
    return -cosine(found, clean)


def poison(found: tf.Tensor, clean: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Move towards the person's target; evade if there is none."""
    has_target = tf.reduce_any(target != 0, axis=-1)
    return tf.where(has_target, cosine(found, target), evade(found, clean, target))


OBJECTIVES: dict[str, Objective] = {"evade": evade, "poison": poison}


def objective(name: str, surrogate: Surrogate) -> Objective:
    """Return the objective of that name for a surrogate.

    Targets are embeddings of the surrogate `WHO`, so all other surrogates evade.

    Raises:
        KeyError: no objective has that name.
    """
    wanted = OBJECTIVES[name]
    return wanted if surrogate.name == WHO else evade
