"""Perturbations by a smooth displacement field and a faint luminance change, optimised together.

A field moves the photo's own pixels, so it leaves no line, no noise and no blur at any size. The
sources are spatially transformed adversarial examples (Xiao et al., ICLR 2018, arXiv:1801.02612)
and geometrically perturbed faces (Dabouei et al., WACV 2019, arXiv:1809.08999). The field here is
a Gaussian blur of a bounded variable. That bounds the displacement and its slope by construction.
"""

from __future__ import annotations

import tensorflow as tf

from photoveil.transforms.cloak.filters import low_pass
from photoveil.transforms.cloak.jitter import sample, warped_grid
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.cloak.precondition import PRECONDITIONERS, unit_rms
from photoveil.transforms.cloak.project import PROJECTIONS, dssim_of_change, per_face
from photoveil.transforms.cloak.stiffness import stiffness
from photoveil.transforms.embedding.normalize import divide_by_root
from photoveil.transforms.faces.align import INTEROCULAR, feather

_SHIFT, _LEVEL = slice(0, 2), slice(2, 3)  # channels of a perturbation
# Of what is flattened where a field is too steep, in pixels: the side, and the sigma of its border.
_NEAR, _SOFT = 5, 1.5


class Displacement:
    """A `PerturbationSpace` of displacements and luminance changes.

    Its variable is float32 (N, S, S, 3): the displacement in x and y before it is smoothed, in
    pixels of the crop, and the luminance change in levels, before the mask of the crop's edge.

    Args:
        crops: float32 (N, S, S, 3) RGB in 0..255.
        parameters: limits, rates and the names of preconditioner and projection of the levels.
    """

    def __init__(self, crops: tf.Tensor, parameters: CloakParameters) -> None:
        self._crops, self._parameters = crops, parameters
        self._mask = tf.constant(feather(crops.shape[1])[:, :, tf.newaxis])
        self._stiff = stiffness(crops)
        self._pixels = INTEROCULAR * crops.shape[1] / 112 / 100  # 1 % of the interocular distance
        self._of_level = PRECONDITIONERS[parameters.preconditioner](crops, parameters)
        self._onto_budget = PROJECTIONS[parameters.projection](crops, self._mask, parameters)

    def start(self, change: tf.Tensor) -> tf.Tensor:
        """Scale the field of a mean of perturbations to the limit of its root mean square.

        A mean is fainter than what it is made of. The field is smooth already, so it serves as the
        variable without a deconvolution. The levels are kept.

        Args:
            change: float32 (N, S, S, 3), as `finish` returns it; zeros stay zeros.

        Returns:
            The initial variable, admissible.
        """
        field = change[..., _SHIFT]
        square = tf.reduce_mean(tf.square(field), axis=(1, 2, 3), keepdims=True) * 2
        wanted = self._parameters.shift_rms * self._pixels
        field = wanted * divide_by_root(field, square)
        return self.project(tf.concat([field, change[..., _LEVEL]], axis=-1))

    def apply(self, variable: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
        """Change the crops and resample them through similarities.

        Field and similarity are composed first, so that a crop is interpolated only once.

        Args:
            variable: float32 (N, S, S, 3).
            matrices: float32 (N, 2, 3), output to input pixel coordinates.

        Returns:
            float32 (N, S, S, 3) RGB in 0..255, differentiable in the variable.
        """
        points = warped_grid(self._crops.shape[1], matrices)
        change = tf.concat(
            [self._field(variable[..., _SHIFT]), self._mask * variable[..., _LEVEL]], axis=-1
        )
        change = sample(change, points)
        seen = sample(self._crops, points + change[..., _SHIFT]) + change[..., _LEVEL]
        return tf.clip_by_value(tf.reshape(seen, self._crops.shape), 0.0, 255.0)

    def precondition(self, gradient: tf.Tensor) -> tf.Tensor:
        """Scale the gradient of the field to its own rate, and precondition that of the levels.

        Args:
            gradient: float32 (N, S, S, 3), of the objective.

        Returns:
            The direction of a step, float32 (N, S, S, 3). Times the learning rate, the first step
            moves the field by `shift_rate`.
        """
        rate = self._parameters.shift_rate * self._pixels / self._parameters.learning_rate
        # A root mean square of 1 for the length of the vectors, not for each of their two parts.
        shift = unit_rms(gradient[..., _SHIFT]) * (rate / 2**0.5)
        return tf.concat([shift, self._of_level(gradient[..., _LEVEL])], axis=-1)

    def project(self, variable: tf.Tensor) -> tf.Tensor:
        """Return the field to its limits, and project the levels.

        The field is limited in its peak, its root mean square and its stretch, each face alone.
        Where it is too steep, it is flattened there alone: to shrink all of it for the sake of one
        place would cost protection everywhere.

        Args:
            variable: float32 (N, S, S, 3), after a step.

        Returns:
            The admissible variable.
        """
        shift = variable[..., _SHIFT]
        peak = self._parameters.shift_peak * self._pixels
        length = tf.sqrt(tf.reduce_sum(tf.square(shift), axis=-1, keepdims=True))
        shift /= tf.maximum(length / peak, 1.0)
        field = self._field(shift)
        share = per_face(tf.sqrt(tf.maximum(self._square(field), 1.0)))
        steep = stretch(field)[..., tf.newaxis] / (share * self._parameters.max_stretch)
        shift /= share * _spread(tf.maximum(steep, 1.0))
        # What is left to do is little: smoothing carries some of a field across these borders.
        field = self._field(shift)
        stretched = tf.reduce_max(stretch(field), axis=(1, 2)) / self._parameters.max_stretch
        excess = tf.maximum(self._square(field), tf.square(stretched))
        shift = divide_by_root(shift, per_face(tf.maximum(excess, 1.0)))
        return tf.concat([shift, self._onto_budget(variable[..., _LEVEL])], axis=-1)

    def _square(self, field: tf.Tensor) -> tf.Tensor:
        """Compute the mean square of a displacement as a share of its limit, float32 (N,)."""
        square = tf.reduce_mean(tf.reduce_sum(tf.square(field), axis=-1), axis=(1, 2))
        return square / (self._parameters.shift_rms * self._pixels) ** 2

    def finish(self, variable: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute the perturbation of a variable.

        Returns:
            float32 (N, S, S, 3): the smoothed field in x and y, in pixels, and the change in
            levels; and float32 (N,): the DSSIM of the levels alone on the clean crops, 0..1.
        """
        levels = self._mask * variable[..., _LEVEL]
        field = self._field(variable[..., _SHIFT])
        return tf.concat([field, levels], axis=-1), dssim_of_change(self._crops, levels)

    def _field(self, shift: tf.Tensor) -> tf.Tensor:
        """Smooth a displacement, more strongly where the crop is stiff, and mask the crop's edge.

        Args:
            shift: float32 (N, S, S, 2), in pixels.

        Returns:
            float32 (N, S, S, 2), in pixels; 0 at the edge of the crop.
        """
        fine = low_pass(shift, self._parameters.shift_sigma)
        coarse = low_pass(shift, self._parameters.stiff_sigma)
        return self._mask * (fine + self._stiff * (coarse - fine))


def _spread(steep: tf.Tensor) -> tf.Tensor:
    """Carry the largest values to their surroundings, smoothly.

    Args:
        steep: float32 (N, S - 1, S - 1, 1).

    Returns:
        float32 (N, S, S, 1).
    """
    padded = tf.pad(steep, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
    return low_pass(tf.nn.max_pool2d(padded, _NEAR, 1, "SAME"), _SOFT)


def stretch(field: tf.Tensor) -> tf.Tensor:
    """Compute by how much a field stretches or squeezes a short length at each place, at most.

    Args:
        field: float32 (N, S, S, 2) displacements in pixels.

    Returns:
        float32 (N, S - 1, S - 1): the largest singular value of the field's Jacobian matrix; 0
        where all moves alike, 0.1 where a length changes by up to a tenth.
    """
    across, down = field[:, :-1, 1:] - field[:, :-1, :-1], field[:, 1:, :-1] - field[:, :-1, :-1]
    a, b, c, d = across[..., 0], down[..., 0], across[..., 1], down[..., 1]
    squares = a * a + b * b + c * c + d * d
    spread = tf.square(a * a + b * b - c * c - d * d) + 4 * tf.square(a * c + b * d)
    return tf.sqrt((squares + tf.sqrt(spread)) / 2)
