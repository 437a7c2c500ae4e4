"""`sweep.coord_check`: how far a few steps of training move each layer, over width; torch here only."""
