"""How well a recogniser still finds people in cloaked photos, and how visible the cloaks are."""
