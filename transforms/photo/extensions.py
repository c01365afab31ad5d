"""What a file may be by the end of its name, in small letters."""

from __future__ import annotations

PHOTOS = {
    ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg",
    ".mpo", ".png", ".tif", ".tiff", ".webp",
}  # fmt: skip
VIDEOS = {
    ".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mts", ".webm", ".wmv",
}  # fmt: skip
SIDECARS = {".xmp", ".aae", ".json"}
