"""What theory says of a cell before it is computed."""
