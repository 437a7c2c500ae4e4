"""Layers of more than a matrix and an act: a skip, a second matrix, a norm; `block` has the core of all."""
