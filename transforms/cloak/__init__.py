"""The cloak: the optimiser of perturbations, their budget, and the Beam model handlers."""
