"""How the weights that come with the package are trained: `python -m experiments.tiny`; README.md says the rest."""
