"""What the official package has beside its classes."""
