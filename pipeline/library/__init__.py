"""The library on disk: the output tree, its manifest, its lock and its run history."""
