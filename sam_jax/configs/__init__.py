"""Training runs, one module each: `sam-jax train NAME` trains as the module's `config` says."""
