"""Signals of any size: exponents carried, long double, rounding."""
