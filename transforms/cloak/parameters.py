"""Parameters of the cloak, with their ranges; `configs/` holds presets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from photoveil.transforms.embedding.models import Precision
from photoveil.transforms.visibility.budget import Budget


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class CloakParameters:
    """How strongly and how visibly a face is changed.

    Pixel lengths are in the 112 px aligned crop; levels are 8-bit luminance levels.
    """

    surrogates: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "dlib",
        "faceplugin",
        "sface",
        "mobilefacenet",
        "facenet",
        "faceplugin",
        "sface",
        "faceres",
    )
    """Recognisers to move away from, by their names in `transforms.embedding.surrogates`, in the
    order of their turns. One that transfers well gets more turns."""
    known_surrogates: tuple[str, ...] = (
        "dlib",
        "faceplugin",
        "sface",
        "mobilefacenet",
        "facenet",
        "faceres",
    )
    """Those of them that have turns for a known person, in this order. If `surrogates` names none
    of them, all have turns."""
    perturbation: Literal["displacement", "luminance"] = "displacement"
    """The kind of change, by its name in `transforms.cloak.space`."""
    preconditioner: Literal["texture", "none"] = "texture"
    """How a gradient becomes a step, by its name in `transforms.cloak.precondition`."""
    projection: Literal["dssim", "cap"] = "dssim"
    """How a luminance change is kept within its limits after each step, by its name in
    `transforms.cloak.project`."""
    objective: Literal["evade", "poison"] = "evade"
    """evade: away from the embedding of the clean face. poison: towards the person's target, the
    same in all photos; a new person has no target yet and evades."""
    flip_budget: Annotated[float, Field(gt=0, le=1)] = 0.03
    """Largest mean FLIP between the bent original and the written face, at viewing size."""
    delta_e_budget: Annotated[float, Field(gt=0, le=20)] = 1.0
    """Largest mean CIEDE2000 between these two, at viewing size."""
    dssim_budget: Annotated[float, Field(gt=0, le=0.1)] = 0.0025
    """Largest structural dissimilarity of the aligned crop in the written file, and approximately
    while optimising."""
    contrast_budget: Annotated[float, Field(gt=0, le=64)] = 1.25
    """Largest contrast, in levels, that is added on smooth skin, at the worst spot of the written
    face."""
    max_change: Annotated[float, Field(gt=0, le=64)] = 25.0
    """Largest luminance change of a pixel while optimising, in levels."""
    smooth_cap: Annotated[float, Field(ge=0, le=64)] = 1.0
    """Largest luminance change of a pixel where the crop has no local contrast, in levels."""
    texture_cap: Annotated[float, Field(ge=0, le=10)] = 1.6
    """What each level of local contrast adds to `smooth_cap`, in levels."""
    shift_peak: Annotated[float, Field(gt=0, le=20)] = 3.0
    """Largest displacement, in percent of the interocular distance."""
    shift_rms: Annotated[float, Field(gt=0, le=20)] = 1.2
    """Largest root mean square of the displacement over the crop, in percent of the interocular
    distance."""
    max_stretch: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Largest local stretch: 0.5 lets a short length change by half."""
    shift_sigma: Annotated[float, Field(gt=0, le=20)] = 1.1
    """Standard deviation, in pixels, of the Gaussian that makes the displacement smooth."""
    stiff_sigma: Annotated[float, Field(gt=0, le=20)] = 4.0
    """The same along strong straight edges, which small waves would bend visibly."""
    shift_rate: Annotated[float, Field(gt=0, le=20)] = 3.6
    """Root mean square displacement of the first step, in percent of the interocular distance; it
    falls in proportion to the learning rate."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 28
    """Steps for a new person. A step is a pass, forward and backward, through one surrogate; the
    surrogates take turns."""
    known_steps: Annotated[int, Field(ge=1, le=1000)] = 10
    """Steps for a known person, whose earlier perturbations the optimiser starts from."""
    learning_rate: Annotated[float, Field(gt=0, le=50)] = 9.0
    """About the root mean square luminance change of the first step, in levels."""
    final_learning_rate: Annotated[float, Field(gt=0, le=50)] = 1.0
    """The same of the last step; the rate falls linearly between the two."""
    gradient_power: Annotated[float, Field(ge=0.5, le=4)] = 2.0
    """Exponent of the gradient: 1 follows it, more prefers its peaks."""
    texture_floor: Annotated[float, Field(gt=0, le=100)] = 1.5
    """Levels, added to the local contrast by which a step is weighted, so that smooth skin gets a
    part of it."""
    texture_power: Annotated[float, Field(ge=0, le=4)] = 1.5
    """Exponent of that sum: the higher, the less of a step falls on smooth skin."""
    high_pass: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the low frequencies, which look like shadows, that each step removes from the
    luminance change."""
    high_pass_sigma: Annotated[float, Field(gt=0, le=20)] = 4.0
    """Standard deviation, in pixels, of the Gaussian that separates low frequencies."""
    jitter_rotation: Annotated[float, Field(ge=0, le=0.5)] = 0.04
    """Standard deviation of the jitter's rotation, in radians. The three of the jitter are the
    spread of other recognisers' crops."""
    jitter_scale: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    """Standard deviation of the logarithm of the jitter's scale."""
    jitter_shift: Annotated[float, Field(ge=0, le=20)] = 2.0
    """Standard deviation of the jitter's shift in x and y, in pixels."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 8
    """Faces optimised at once."""
    precision: Precision = "float32"
    """Number format of the surrogates. bfloat16 is for GPUs that have it; on a CPU it is slower."""

    @property
    def known_turns(self) -> tuple[str, ...]:
        """The surrogates for a known person, in the order of their turns."""
        return tuple(n for n in self.known_surrogates if n in self.surrogates) or self.surrogates

    @property
    def recognisers(self) -> tuple[str, ...]:
        """The surrogates, each of them once."""
        return tuple(dict.fromkeys(self.surrogates))

    @property
    def budget(self) -> Budget:
        """The visibility budget of the written file."""
        return Budget(
            self.flip_budget, self.delta_e_budget, self.dssim_budget, self.contrast_budget
        )
