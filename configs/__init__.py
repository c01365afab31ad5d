"""YAML presets and the pinned asset list, shipped with the package as data."""
