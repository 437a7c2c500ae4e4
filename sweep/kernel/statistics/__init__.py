"""What is measured of a layer: `table` lists it, the other modules compute it."""
