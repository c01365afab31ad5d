"""One photo from file to file: found, read, scanned, written."""
