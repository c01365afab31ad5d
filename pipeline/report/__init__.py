"""A page for a browser that shows what was done to the photos of a library."""
