"""A user's own torch module: its rows, its verdict, advice: `interactive` has `sweep.probe`."""
