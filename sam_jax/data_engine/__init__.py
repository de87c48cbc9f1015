"""The data engine of [the paper](https://arxiv.org/abs/2304.02643)'s section 4: people and models mask together."""
