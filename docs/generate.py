"""Write the parts of the documentation that follow from the code and the pinned assets.

    python -m docs.generate

These are docs/settings.md, the table of columns in docs/manifest.md, and THIRD-PARTY-NOTICES.md.
The tests say when one of them is out of date. The packages in the notices are those installed.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
from packaging.requirements import Requirement
from pydantic import TypeAdapter

from photoveil.pipeline.library import columns, manifest
from photoveil.pipeline.settings import Settings, load_settings
from photoveil.transforms.io import assets

ROOT = Path(__file__).parents[1]
MODES = ("low", "mid", "high")
_TITLES = {"model": "Models of a run", "photo": "Demo photos", "reference": "For tests only"}
_HELD_OUT = "Held-out recognisers, for `photoveil evaluate`"

_ABOUT_SETTINGS = """
Settings are given in a YAML file (`--config FILE`), with a section for each heading below. An
unknown key is refused by name. A value of the file wins over the preset of the mode in `configs/`,
and an option of the command line over both. [fingerprints.md](fingerprints.md) says which settings
make outputs stale.
"""
_ABOUT_NOTICES = """
Photoveil is under the [MIT License](LICENSE). It contains nothing of what follows: models, photos
and packages are downloaded from the places named here, each under its own licence.
"""


def settings_page() -> str:
    """Return docs/settings.md: every setting with its values, default and meaning."""
    modes = {mode: load_settings(mode=mode).model_dump() for mode in MODES}
    parts = ["# Settings", "<!-- `make docs` writes this page. -->", _paragraph(_ABOUT_SETTINGS)]
    meaning = _attribute_docs(Settings)
    values = _values(TypeAdapter(Settings).json_schema()["properties"]["mode"])
    parts += [_table([("`mode`", values, "`mid`", meaning.get("mode", ""))])]
    for section, field in Settings.model_fields.items():
        if section == "mode":
            continue
        kind = field.annotation
        assert isinstance(kind, type)
        about = _paragraph(inspect.getdoc(kind) or "")
        defaults = {mode: found[section] for mode, found in modes.items()}
        parts += [f"## {section}", about, _table(_setting_rows(section, kind, defaults))]
    return "\n\n".join(parts) + "\n"


def manifest_table() -> str:
    """Return the table of the columns of the manifest."""
    rows = [
        f"| `{name}` | {_type_name(kind)} | {columns.MEANINGS[name]} |"
        for name, kind in manifest_columns()
    ]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *rows])


def manifest_columns() -> Iterator[tuple[str, pa.DataType]]:
    """Yield each column of the manifest and each field of a face, with its type."""
    for field in manifest.SCHEMA:
        yield field.name, field.type
        if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
            for inner in field.type.value_type:
                yield f"{field.name}[].{inner.name}", inner.type


def model_notices() -> str:
    """Return the notices of the models and photos of `configs/assets.yaml`, by kind."""
    parts = []
    for title in (*_TITLES.values(), _HELD_OUT):
        rows = [
            (f"`{name}`", asset.about, asset.licence, "; ".join(map(str, asset.sources)))
            for name, asset in assets.catalogue().items()
            if _TITLES.get(asset.kind, _HELD_OUT) == title
        ]
        if rows:
            parts += [f"## {title}", _table(rows, ("file", "what", "licence", "from"))]
    return "\n\n".join(parts)


def package_notices() -> str:
    """Return the notices of the installed packages that Photoveil needs, directly or not."""
    rows = [(name, _licence(found), _home(found)) for name, found in sorted(_needed().items())]
    return "## Packages that are installed with Photoveil\n\n" + _table(
        rows, ("package", "licence", "home page")
    )


def notices_page() -> str:
    """Return THIRD-PARTY-NOTICES.md."""
    head = ["# Third-party notices", "<!-- `make docs` writes this page. -->"]
    parts = [*head, _paragraph(_ABOUT_NOTICES), model_notices(), package_notices()]
    return "\n\n".join(parts) + "\n"


def with_table(page: str, table: str) -> str:
    """Return a page with its first table of columns replaced."""
    pattern = r"^\| column \| type \| meaning \|\n(?:\|.*\n)+"
    return re.sub(pattern, lambda _: table + "\n", page, count=1, flags=re.MULTILINE)


def main() -> None:
    """Write all of them."""
    (ROOT / "docs/settings.md").write_text(settings_page(), "utf-8")
    page = ROOT / "docs/manifest.md"
    page.write_text(with_table(page.read_text("utf-8"), manifest_table()), "utf-8")
    (ROOT / "THIRD-PARTY-NOTICES.md").write_text(notices_page(), "utf-8")


def _setting_rows(
    section: str, kind: type, defaults: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str, str, str]]:
    meanings = _attribute_docs(kind)
    for name, schema in TypeAdapter(kind).json_schema()["properties"].items():
        given = {mode: _shown(defaults[mode][name]) for mode in MODES}
        same = len(set(given.values())) == 1
        default = given["mid"] if same else "; ".join(f"{m} {one}" for m, one in given.items())
        yield f"`{section}.{name}`", _values(schema), default, meanings.get(name, "")


def _attribute_docs(kind: type) -> dict[str, str]:
    """The string below each attribute of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        node.target.id: _one_line(after.value.value)
        for node, after in zip(body.body, body.body[1:], strict=False)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }


def _values(schema: Mapping[str, Any]) -> str:
    """The values that a JSON schema allows."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_values(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_values(schema['items'])}s"
    if schema.get("type") == "object":
        return "keys and values"
    name = {"integer": "integer", "boolean": "true or false", "string": "name"}.get(
        schema.get("type", ""), schema.get("type", "")
    )
    bounds = [
        f"{word} {schema[key]:,}"
        for key, word in (
            ("exclusiveMinimum", "above"),
            ("minimum", "from"),
            ("exclusiveMaximum", "below"),
            ("maximum", "to"),
        )
        if key in schema
    ]
    return " ".join([name, *bounds])


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (list, tuple)):
        return ", ".join(f"`{one}`" for one in value) or "none"
    return f"`{value}`" if value != {} else "none"


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "timestamp, UTC"
    if pa.types.is_struct(kind):
        return ", ".join(f"`{field.name}`" for field in kind)
    if pa.types.is_list(kind):
        inner = kind.value_type
        long = pa.types.is_struct(inner) and len(inner) > 2
        return "list" if long else f"list of {_type_name(inner)}"
    return str(kind)


def _needed() -> dict[str, metadata.Distribution]:
    """The installed packages of Photoveil's dependencies without extras, and those of theirs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, metadata.Distribution] = {}
    wanted = [Requirement(text) for text in project["dependencies"]]
    while wanted:
        requirement = wanted.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python
        for text in found[name].requires or ():
            needs = Requirement(text)
            extras = ("", *requirement.extras)
            if needs.marker is None or any(needs.marker.evaluate({"extra": e}) for e in extras):
                wanted.append(needs)
    return found


def _licence(package: metadata.Distribution) -> str:
    """The licence of a package as its metadata names it: an SPDX expression, or classifiers."""
    about = package.metadata
    if "License-Expression" in about:
        return about["License-Expression"]
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or ()
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    first_line = (about["License"] or "").strip().partition("\n")[0]
    return ", ".join(classifiers) or first_line or "see its files"


def _home(package: metadata.Distribution) -> str:
    """The address of a package's project, or of its page on PyPI."""
    links = dict(
        line.lower().split(", ", 1) for line in package.metadata.get_all("Project-URL") or ()
    )
    named = (links.get(key) for key in ("homepage", "source", "repository", "source code"))
    home = package.metadata["Home-page"] or next(filter(None, named), None)
    return home or f"https://pypi.org/project/{package.name}/"


def _table(
    rows: Iterable[Sequence[str]],
    head: Sequence[str] = ("setting", "values", "default", "meaning"),
) -> str:
    lines = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return "\n".join([next(lines), "|---" * len(head) + "|", *lines])


def _paragraph(text: str) -> str:
    return textwrap.fill(_one_line(text), 108, break_long_words=False, break_on_hyphens=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
