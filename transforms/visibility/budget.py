"""The visibility budget of a face."""

from __future__ import annotations

from dataclasses import dataclass

from photoveil.transforms.records import Visibility

_LEAST, _MOST = 0.02, 1.3  # of the scale; a change blown up further protects no better


@dataclass(frozen=True)
class Budget:
    """The most that may be drawn on a face, in each of these measures of `Visibility`."""

    flip: float
    delta_e: float
    dssim: float
    contrast: float

    def spent(self, seen: Visibility) -> float:
        """Return how much of the budget is used up: 1 means all of it in the scarcest measure."""
        return max(
            seen.flip / self.flip,
            seen.delta_e / self.delta_e,
            seen.dssim / self.dssim,
            seen.contrast / self.contrast,
        )

    def rescale(self, scale: float, seen: Visibility) -> float:
        """Return the scale at which a change would just keep to the budget.

        Args:
            scale: of the change when it was measured.
            seen: what was measured.

        Mean FLIP grows with about the 0.8th power of a change, CIEDE2000 and the contrast on smooth
        skin in proportion, DSSIM with the square of a faint change and the 1.7th power of a usual
        one (fitted to the perturbations of 56 faces: one measurement then comes to within 2 %).
        """
        pairs = (
            (self.flip, seen.flip, 1 / 0.8),
            (self.delta_e, seen.delta_e, 1.0),
            (self.contrast, seen.contrast, 1.0),
            (self.dssim, seen.dssim, 1 / 1.7),
        )
        factors = [(most / value) ** power for most, value, power in pairs if value > 0]
        return min(max(scale * min(factors, default=1.0), _LEAST), _MOST)
