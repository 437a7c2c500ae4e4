"""What follows from the maps: rounded copies, the largest learning rate, the Jacobian, transforms."""
