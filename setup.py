"""Lists the packages: pyproject.toml can rename a folder, but cannot find the packages below it."""

from setuptools import find_packages, setup

FOLDERS = ("pipeline", "transforms", "configs")

setup(
    packages=[
        f"photoveil.{name}"
        for name in find_packages(include=[part for f in FOLDERS for part in (f, f"{f}.*")])
    ]
)
