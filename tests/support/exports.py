"""Folders as other programs leave them, made of the public demo photos.

They have the names and the kinds of files that Google Takeout, Apple's Photos, Immich, PhotoPrism
and digiKam write; no such program made them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageEnhance

from photoveil.transforms.io import assets
from tests.support.carriers import saved

LONG = (
    "My very long description of the inauguration.jpg"  # its record's name is cut at 51 characters
)
AAE = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0"><dict><key>adjustmentFormat'
    b"Identifier</key><string>com.apple.photo</string></dict></plist>\n"
)


@dataclass(frozen=True)
class Export:
    """What is in such a folder, by path.

    faces: photos that show somebody. plain: photos that show nobody. sidecars: files that describe
    photos. left: files that are not for publishing.
    """

    faces: tuple[str, ...]
    plain: tuple[str, ...]
    sidecars: tuple[str, ...]
    left: tuple[str, ...]


def photo(name: str) -> Image.Image:
    """A public photo of at most 480 pixels."""
    with Image.open(assets.fetch(name)) as image:
        small = image.convert("RGB")
    small.thumbnail((480, 480))
    return small


def jpeg(name: str, brightness: float = 1.0) -> bytes:
    return saved(ImageEnhance.Brightness(photo(name)).enhance(brightness), "JPEG", quality=92)


def video(name: str) -> bytes:
    """The beginning of a QuickTime file, and a frame with a face in it."""
    frame = jpeg(name)
    beginning = b"\0\0\0\x14ftypqt  \0\0\0\0qt  \0\0\0\x08wide"
    return beginning + (8 + len(frame)).to_bytes(4, "big") + b"mdat" + frame


def packet(inner: str) -> bytes:
    return (
        "<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>\n"
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'>"
        "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        f"<rdf:Description rdf:about='' {inner}</rdf:Description></rdf:RDF></x:xmpmeta>\n"
        "<?xpacket end='w'?>\n"
    ).encode()


DIGIKAM = packet(
    "xmlns:mwg-rs='http://www.metadataworkinggroup.com/schemas/regions/' "
    "xmlns:stArea='http://ns.adobe.com/xmp/sType/Area#' "
    "xmlns:digiKam='http://www.digikam.org/ns/1.0/' xmlns:xmp='http://ns.adobe.com/xap/1.0/' "
    "xmp:Rating='4'>"
    "<digiKam:TagsList><rdf:Seq><rdf:li>People/Ada Byron</rdf:li><rdf:li>Places/Rome</rdf:li>"
    "</rdf:Seq></digiKam:TagsList>"
    "<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:RegionList><rdf:Bag>"
    "<rdf:li rdf:parseType='Resource'><mwg-rs:Name>Ada Byron</mwg-rs:Name>"
    "<mwg-rs:Type>Face</mwg-rs:Type><mwg-rs:Area stArea:x='0.5' stArea:y='0.4' stArea:w='0.2' "
    "stArea:h='0.3' stArea:unit='normalized'/></rdf:li>"
    "</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
)
RATING = packet("xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmp:Rating='3'>")


def record(title: str) -> bytes:
    """What Takeout says of a photo."""
    taken = {"timestamp": "1338888888", "formatted": "Jun 5, 2012, 9:34:48 AM UTC"}
    people = [{"name": "Ada Byron"}]
    return json.dumps(
        {"title": title, "imageViews": "3", "photoTakenTime": taken, "people": people}, indent=2
    ).encode()


def takeout(folder: Path) -> Export:
    """Google Takeout: years, an album with copies, edited copies, records under cut names."""
    base = "Takeout/Google Photos"
    year, album = f"{base}/Photos from 2012", f"{base}/Summer in Rome"
    cut = f"{LONG}.supplemental-metadata"[:46] + ".json"
    files = {
        f"{year}/IMG_0001.jpg": jpeg("obama.jpg"),
        f"{year}/IMG_0001-edited.jpg": jpeg("obama.jpg", brightness=1.2),
        f"{year}/IMG_0001.jpg.supplemental-metadata.json": record("IMG_0001.jpg"),
        f"{year}/IMG_0001(1).jpg": jpeg("biden.jpg"),
        f"{year}/IMG_0001.jpg.supplemental-metadata(1).json": record("IMG_0001.jpg"),
        f"{year}/IMG_0002.jpg": jpeg("chelsea.png"),
        f"{year}/IMG_0002.jpg.json": record("IMG_0002.jpg"),
        f"{year}/{LONG}": jpeg("obama3.jpg"),
        f"{year}/{cut}": record(LONG),
        f"{year}/VID_0003.MP4": video("biden.jpg"),
        f"{year}/VID_0003.MP4.supplemental-metadata.json": record("VID_0003.MP4"),
        f"{album}/IMG_0001.jpg": jpeg("obama.jpg"),
        f"{album}/IMG_0001.jpg.supplemental-metadata.json": record("IMG_0001.jpg"),
        f"{album}/metadata.json": b'{"title": "Summer in Rome", "access": "protected"}',
        "Takeout/archive_browser.html": b"<html><body>Your archive</body></html>",
    }
    _write(folder, files)
    return _export(files, plain=(f"{year}/IMG_0002.jpg",), left=(f"{album}/metadata.json",))


def apple_photos(folder: Path) -> Export:
    """An export of unmodified originals and edits: Live Photos, adjustments, edited renditions."""
    import pillow_heif

    def heic(name: str, brightness: float = 1.0) -> bytes:
        pillow_heif.register_heif_opener()
        bright = ImageEnhance.Brightness(photo(name)).enhance(brightness)
        return saved(bright, "HEIF", quality=85)

    files = {
        "IMG_1234.HEIC": heic("obama.jpg"),
        "IMG_1234.MOV": video("obama.jpg"),
        "IMG_1234.AAE": AAE,
        "IMG_E1234.HEIC": heic("obama.jpg", brightness=1.2),
        "IMG_E1234.MOV": video("obama.jpg"),
        "IMG_1235.JPG": jpeg("biden.jpg"),
        "IMG_1235.xmp": RATING,
        "IMG_1236.HEIC": heic("chelsea.png"),
    }
    _write(folder, files)
    return _export(files, plain=("IMG_1236.HEIC",))


def immich(folder: Path) -> Export:
    """The upload folder of Immich with its storage template: the photos are in `library`."""
    files = {
        "admin/2012/2012-06-05/IMG_1.jpg": jpeg("obama.jpg"),
        "admin/2012/2012-06-05/IMG_1.jpg.xmp": RATING,
        "admin/2012/2012-06-05/IMG_2.jpg": jpeg("chelsea.png"),
        "admin/2013/2013-01-21/IMG_3.png": saved(photo("astronaut.png"), "PNG"),
        "admin/2013/2013-01-21/IMG_4.MOV": video("biden.jpg"),
        ".immich": b"",
    }
    _write(folder / "library", files)
    beside = {
        "thumbs/6f/1a/6f1a-preview.jpeg": jpeg("obama.jpg"),
        "encoded-video/6f/1b/6f1b.mp4": video("biden.jpg"),
        "thumbs/.immich": b"",
    }
    _write(folder, beside)
    return _export(files, plain=("admin/2012/2012-06-05/IMG_2.jpg",), left=(".immich",))


def photoprism(folder: Path) -> Export:
    """The originals of PhotoPrism, and its storage beside them."""
    files = {
        "2012/06/20120605_093448_AB12.jpg": jpeg("obama.jpg"),
        "2012/06/20120605_093448_AB12.xmp": RATING,
        "2013/01/20130121_120000_CD34.jpg": jpeg("biden.jpg"),
        ".ppignore": b"*.mov\n",
    }
    _write(folder / "originals", files)
    beside = {
        "storage/cache/thumbnails/a/b/c/abc_720x720_fit.jpg": jpeg("obama.jpg"),
        "storage/sidecar/2012/06/20120605_093448_AB12.yml": b"UID: pqu0xswtrlixbcjp\n",
        "storage/.ppstorage": b"",
    }
    _write(folder, beside)
    return _export(files, left=(".ppignore",))


def digikam(folder: Path) -> Export:
    """A collection of digiKam: sidecars with regions of faces, and its databases."""
    files = {
        "Rome/DSC_1.jpg": jpeg("obama.jpg"),
        "Rome/DSC_1.jpg.xmp": DIGIKAM,
        "Rome/DSC_2.jpg": jpeg("coffee.png"),
        "Rome/DSC_2.jpg.xmp": RATING,
        "Rome/DSC_3.tif": saved(photo("biden.jpg"), "TIFF", compression="tiff_lzw"),
        "Rome/DSC_3.xmp": DIGIKAM,
        "digikam4.db": b"SQLite format 3\0" + bytes(100),
        "thumbnails-digikam.db": b"SQLite format 3\0" + jpeg("obama.jpg"),
        "recognition.db": b"SQLite format 3\0" + bytes(100),
    }
    _write(folder, files)
    return _export(files, plain=("Rome/DSC_2.jpg",))


EXPORTS: dict[str, Callable[[Path], Export]] = {
    "takeout": takeout,
    "apple-photos": apple_photos,
    "immich": immich,
    "photoprism": photoprism,
    "digikam": digikam,
}


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _export(
    files: dict[str, bytes], plain: tuple[str, ...] = (), left: tuple[str, ...] = ()
) -> Export:
    def of(*endings: str) -> tuple[str, ...]:
        found = (name for name in files if name.lower().endswith(endings))
        return tuple(name for name in found if name not in (*plain, *left))

    return Export(
        of(".jpg", ".heic", ".png", ".tif"),
        plain,
        of(".json", ".xmp", ".aae"),
        (*of(".mov", ".mp4", ".html", ".db"), *left),
    )
