"""Training: configuration, simulated interaction, the training step and its optimiser, the loop, saved states."""
