"""Measures of how visible a change of a face is."""

from photoveil.transforms import process_wide

process_wide.wait_asleep()
