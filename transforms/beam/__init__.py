"""Building blocks for Beam that know nothing of photos."""
