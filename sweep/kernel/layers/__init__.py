"""The kinds of layer, a module each, and the signal that passes between layers."""
