"""Copies of networks that compute in a narrow number format: how they part from the exact ones."""
