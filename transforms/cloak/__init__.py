"""The cloak: surrogates, perturbations, the optimiser and the Beam model handler around them."""
