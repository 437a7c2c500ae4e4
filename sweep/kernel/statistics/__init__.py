"""What is measured of a layer: `table` lists it, the others compute it."""
