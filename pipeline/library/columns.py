"""What each column of the manifest means, for the table that `make docs` writes."""

from __future__ import annotations

MEANINGS = {
    "source": "path below the input folder; bytes that are not UTF-8 as `\\xNN`",
    "output": "path below the output folder; null when nothing was written. It equals the path of "
    "the source where OUT can hold that; otherwise a note says why not "
    "([archive.md](archive.md#names-that-out-cannot-hold))",
    "status": "see [below](#statuses)",
    "reason": "why it failed or was left out, or which faces were left as they are: one of "
    "[a list](#reasons)",
    "retry": "true for a failure that another try may resolve (no permission, disk full); the next "
    "run tries again",
    "duplicate_of": "for a duplicate, the `source` whose output it shares; for a near duplicate, "
    "its canonical photo, whose perturbations it shares",
    "distance": "for these, the number of bits of the perceptual hash that differ; 0 for equal "
    "bytes",
    "source_sha256": "hex; null for a file that was not read. Files that are not photos are "
    "recognised by their first bytes and not hashed",
    "output_sha256": "hex; null when nothing was written",
    "source_size": "bytes",
    "output_size": "bytes",
    "source_modified": "modification time of the source",
    "pdq": "perceptual hash of the picture, hex; null when the picture has too little detail",
    "format": "`JPEG`, `PNG`, `WebP`, `TIFF`, `BMP`, `GIF`, `HEIC` or `AVIF`, by content",
    "width": "pixels of the upright photo",
    "height": "the same; the pages of a TIFF are stacked vertically",
    "faces": "the cloaked faces, best detector score first; for a duplicate those of the photo "
    "that it duplicates",
    "faces[].box": "pixels of the upright photo; may reach beyond the frame",
    "faces[].landmarks": "left eye, right eye, nose, left and right mouth corner, as seen in the "
    "picture",
    "faces[].detector_score": "0 to 1",
    "faces[].dssim": "(1 - SSIM) / 2 of the aligned face. Like the next three, of what is drawn: "
    "the written file against the original with its faces bent",
    "faces[].flip": "mean FLIP over the face at 300 px at most, 0 (equal) to 1",
    "faces[].delta_e": "mean CIEDE2000 over the same pixels; 1 is about just noticeable",
    "faces[].drawn_contrast": "levels of contrast added on smooth skin, at the worst spot; lines "
    "were seen from 1.6 up. Null in rows of output version 2 and before, as are the next three",
    "faces[].shift_peak": "largest displacement, in percent of the interocular distance",
    "faces[].shift_rms": "root mean square displacement over the aligned face, likewise",
    "faces[].stretch": "largest singular value of the displacement's Jacobian matrix",
    "faces[].steps": "optimiser steps: passes through a surrogate",
    "faces[].cosine_shift": "1 - cosine between the embeddings of original and written face, 0 to "
    "2, by surrogate",
    "notes": "what else was changed and why, such as a rebuilt thumbnail or a removed picture; or "
    "the number of people tags",
    "mode": "`low`, `mid` or `high`",
    "settings_hash": "identifies the settings that made the output; without an output, the "
    "settings and limits it was tried with ([fingerprints.md](fingerprints.md))",
    "assets_hash": "identifies the models that made the output",
    "output_version": "version of the code that made the output; null in rows of Photoveil 0.1.0, "
    "which stands for 1",
    "review": "fingerprint of what a review asked for the photo ([report.md](report.md#review)); "
    "null where it asked for nothing",
    "version": "the version of Photoveil that made the row",
    "run_id": "the run that made the row",
    "finished": "when the row was made",
    "gone": "since when the source has been missing; null while it is there",
}
"""Meaning of each column of `manifest.SCHEMA` in Markdown, and of each field of a face."""
