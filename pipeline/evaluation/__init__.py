"""The evaluation of a library: labels, measurement and report."""
