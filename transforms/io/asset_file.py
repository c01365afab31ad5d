"""All models and demo photos as one file, for machines without a network.

The file is a zip archive, stored without compression and without dates, so that the same assets
give the same bytes. It has a notice of where each asset comes from and under which licence.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from photoveil.transforms.io import assets
from photoveil.transforms.io.assets import Asset, AssetError

NOTICE = "NOTICE.txt"
_WHEN = (1980, 1, 1, 0, 0, 0)  # the first that a zip archive can tell


def export(names: Sequence[str], to: Path) -> None:
    """Write assets into one file, and fetch those that are not here yet.

    Args:
        names: of assets. to: the file; replaced if there is one.

    Raises:
        transforms.io.assets.AssetError: one cannot be had.
        OSError: the file cannot be written.
    """
    chosen = [assets.catalogue()[name] for name in sorted(names)]
    paths = [assets.fetch(asset.name) for asset in chosen]
    with tempfile.NamedTemporaryFile(dir=to.absolute().parent, delete=False) as out:
        try:
            with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(_entry(NOTICE), "\n\n".join(map(_notice, chosen)) + "\n")
                for asset, path in zip(chosen, paths, strict=True):
                    archive.writestr(_entry(_place(asset)), path.read_bytes())
        except BaseException:
            os.unlink(out.name)
            raise
    os.chmod(out.name, 0o644)
    os.replace(out.name, to)


def import_from(path: Path) -> list[str]:
    """Put the assets of such a file into the cache, each only with its pinned hash.

    Returns:
        The names of those that were put there. Assets of another version of the program are passed
        over.

    Raises:
        transforms.io.assets.AssetError: it is no such file, or an asset in it was changed.
        OSError: it cannot be read.
    """
    kept = []
    try:
        with zipfile.ZipFile(path) as archive:
            there = set(archive.namelist())
            if NOTICE not in there:
                raise AssetError(f"{path} is no file of `photoveil assets --export`")
            for asset in assets.catalogue().values():
                if _place(asset) in there:
                    assets.keep(asset, archive.read(_place(asset)))
                    kept.append(asset.name)
    except zipfile.BadZipFile as error:
        raise AssetError(f"{path} is damaged or no file of `photoveil assets --export`") from error
    return kept


def _place(asset: Asset) -> str:
    return f"assets/{asset.sha256[:16]}/{asset.name}"


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _WHEN)
    entry.create_system = 3  # as on Unix, wherever it is written
    entry.external_attr = 0o644 << 16
    return entry


def _notice(asset: Asset) -> str:
    sources = "\n".join(f"  from: {source}" for source in asset.sources)
    return (
        f"{asset.name}\n  {asset.about}\n  licence: {asset.licence}\n"
        f"  sha256: {asset.sha256}\n{sources}"
    )
