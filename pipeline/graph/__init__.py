"""The Beam graphs: what workers do to the photos of a wave."""
