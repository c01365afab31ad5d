"""What happens to a photo: discover, fingerprint, find faces, cloak them, write the file."""
