"""Faces: detection, alignment, and clustering into people."""
