"""Training runs, one file each: `sam-jax train NAME`."""
