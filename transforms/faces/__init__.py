"""Faces in a photo: detection and alignment."""
