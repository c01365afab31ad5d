"""Draw the picture of the README: faces of the demo's public photos, before and after.

    photoveil demo demo
    python -m docs.picture demo

The first row has the originals, the second what `photoveil demo` published.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from photoveil.pipeline.cli import demo_folder
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import find_library

PICTURE = Path(__file__).parent / "pictures/before-after.webp"
_PHOTOS = ("2012/portrait.jpg", "2013/joe.jpg", "2013/astronaut.png", "2012/speech.jpg")
_ROWS = ("original", "published")
_SIDE = 300  # pixels of a face's square
_AROUND = 2.0  # its side, by that of the face
_MARGIN, _LABEL = 6, 26  # pixels
_PAPER, _INK = "white", "#333333"


def draw(folder: Path) -> Image.Image:
    """Return the picture of the demo that lies in `folder`.

    Raises:
        LibraryError: no demo lies there.
    """
    roots = folder / demo_folder.PHOTOS, folder / demo_folder.CLOAKED
    library = find_library(str(roots[1]), str(folder / demo_folder.STATE))
    rows = {row["source"]: row for row in manifest.read(library.manifest).to_pylist()}
    step = _SIDE + _MARGIN
    size = len(_PHOTOS) * step + _MARGIN, len(roots) * (step + _LABEL) + _MARGIN
    sheet = Image.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for number, (root, name) in enumerate(zip(roots, _ROWS, strict=True)):
        top = number * (step + _LABEL) + _MARGIN
        pen.text((_MARGIN, top + 2), name, _INK, font)
        for place, photo in enumerate(_PHOTOS):
            (face,) = rows[photo]["faces"]
            with Image.open(root / photo) as image:
                crop = _square(image.convert("RGB"), face["box"])
            sheet.paste(crop, (place * step + _MARGIN, top + _LABEL))
    return sheet


def _square(photo: Image.Image, box: dict[str, float]) -> Image.Image:
    """A face and what is around it, as far as the photo goes."""
    side = _AROUND * max(box["right"] - box["left"], box["bottom"] - box["top"])
    side = min(side, *photo.size)
    left, top = (
        min(max((box[low] + box[high] - side) / 2, 0), length - side)
        for low, high, length in zip(("left", "top"), ("right", "bottom"), photo.size, strict=True)
    )
    area = (left, top, left + side, top + side)
    return photo.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, area, reducing_gap=3.0)


def main() -> None:
    """Write it."""
    PICTURE.parent.mkdir(exist_ok=True)
    draw(Path(sys.argv[1])).save(PICTURE, quality=90, method=6)


if __name__ == "__main__":
    main()
