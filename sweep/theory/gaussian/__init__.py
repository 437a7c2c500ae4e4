"""Gaussian integrals: moments, correlations, mixtures, and the nodes they are summed over."""
