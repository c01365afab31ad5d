"""How visible a change of a face is."""
