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
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import platformdirs
import yaml

CACHE_ENV = "PHOTOVEIL_CACHE"

PYPI = "https://pypi.org/simple"
NPM = "https://registry.npmjs.org"
_NPM_ENV = "npm_config_registry"  # npm's own, for those who use another registry
_TIMEOUT = 30  # seconds without an answer


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
                if source.member is None:
                    return keep(asset, path.read_bytes())
                kept = keep(asset, _member(path, source.member))
                _keep_others_of(source.package_sha256, path)
                return kept
        except AssetError as error:
            failures.append(f"  {source}: {error}")
    raise AssetError(
        f"cannot get {name} ({asset.about}). Tried:\n"
        + "\n".join(failures)
        + "\nCheck the network connection and run `photoveil assets` again. Without a network, run "
        "`photoveil assets --export FILE` on another machine and "
        "`photoveil assets --import FILE` here."
    )


def _keep_others_of(package_sha256: str | None, package: Path) -> None:
    """Keep what else is needed of a package, which need not be downloaded again for it."""
    for asset in catalogue().values():
        for source in asset.sources:
            if source.package_sha256 == package_sha256 and source.member and not is_cached(asset):
                with contextlib.suppress(AssetError):  # said when this one is fetched
                    keep(asset, _member(package, source.member))


def keep(asset: Asset, data: bytes) -> Path:
    """Put the bytes of `asset` into the cache.

    Returns:
        Where they are now.

    Raises:
        AssetError: they do not have the pinned hash.
    """
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
    """A temporary local file with the bytes that `source` offers: the asset or its package."""
    with tempfile.TemporaryDirectory(prefix="photoveil-") as name:
        folder = Path(name)
        if source.url:
            yield _download(source.url, folder / "file")
            return
        if source.pypi:
            package = _from_pypi(source, folder)
        else:
            package = _download(_npm_address(str(source.npm)), folder / "package")
        found = _sha256(package)
        if found != source.package_sha256:
            raise AssetError(
                f"wrong hash: expected package sha256 {source.package_sha256}, got {found}; refused"
            )
        yield package


def _download(url: str, to: Path) -> Path:
    to.write_bytes(_get(url))
    return to


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            data: bytes = response.read()
            return data
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise AssetError(f"{error}") from error


def _npm_address(package: str) -> str:
    """Return where the registry has `name@version` or `@scope/name@version`."""
    name, _, version = package.rpartition("@")
    registry = os.environ.get(_NPM_ENV, NPM).rstrip("/")
    return f"{registry}/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"


def _from_pypi(source: Source, folder: Path) -> Path:
    # An address needs no pip, and nothing of the package is run: to read the metadata of an sdist,
    # pip runs its build script. But only pip knows the index that a user has in place of PyPI.
    try:
        return _download(_pypi_address(source), folder / "download")
    except AssetError as error:
        if find_spec("pip") is None:
            raise
        try:
            return _pip_download(source, folder)
        except AssetError as of_pip:
            raise AssetError(f"{error}; by pip: {of_pip}") from error


def _pypi_address(source: Source) -> str:
    """Return where PyPI has the file with the pinned hash, as the page of the package says."""
    page = f"{PYPI}/{str(source.pypi).partition('==')[0]}/"
    text = _get(page).decode("utf-8", "replace")
    found = re.search(rf'href="([^"#]+)#sha256={source.package_sha256}"', text)
    if found is None:
        raise AssetError(f"{page} lists no file with sha256 {source.package_sha256}")
    return urllib.parse.urljoin(page, found[1])


def _pip_download(source: Source, folder: Path) -> Path:
    # pip checks --hash before it opens a package, and before it runs a build script in it.
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.pypi} --hash=sha256:{source.package_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    if source.wheel:
        command += ["--only-binary", ":all:", "--implementation", "cp"]
        command += ["--platform", source.wheel["platform"]]
        command += ["--python-version", source.wheel["python"]]
    command += ["--dest", str(folder / "package"), "--requirement", str(requirements)]
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


def _member(package: Path, member: str) -> bytes:
    try:
        if zipfile.is_zipfile(package):
            with zipfile.ZipFile(package) as archive:
                return archive.read(member)
        with tarfile.open(package) as tar:
            stream = tar.extractfile(member)
            if stream is None:
                raise AssetError(f"{member} in the package is not a file")
            return stream.read()
    except KeyError as error:
        raise AssetError(f"the package has no {member}") from error


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
