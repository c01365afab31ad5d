"""Measure how well recognisers find people in cloaked photos, and how visible cloaks are."""
