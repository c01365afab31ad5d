"""One run: plan, then waves, each committed before the next."""
