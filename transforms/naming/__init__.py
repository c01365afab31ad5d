"""Names of output files: what a place takes, and what a file is called there."""
