"""Short trainings of the networks that are measured: plain SGD of a few hundred steps on a small problem."""
