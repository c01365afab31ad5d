"""What happens to a photo: discover, fingerprint, find faces, cloak them, write the file."""

from photoveil.transforms import process_wide

process_wide.prefer_onednn()
