"""What happens to a photo: read it, find the faces, cloak them, write and check the file."""

from photoveil.transforms import process_wide

process_wide.prefer_onednn()
