"""The parts of a study: how one is written, read without trusting it, and which of its rows count."""
