"""From rows of calls to a chain of layers and blocks, and theory beside it."""
