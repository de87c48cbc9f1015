"""`python -m sam_jax` is the command `sam-jax`."""

import sys

from sam_jax.cli.main import main

sys.exit(main())
