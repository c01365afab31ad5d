"""Names of output files: which names a place accepts, and what a file is called there."""
