"""Measures of how visible a change of a face is."""
