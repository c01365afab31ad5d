"""The cloak: surrogates, losses, the optimiser and the Beam model handler around them."""
