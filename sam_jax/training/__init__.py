"""Training: simulated interaction, gradients, optimiser, step, loop."""
