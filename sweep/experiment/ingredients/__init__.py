"""What a cell is made of: options, families of networks, files, models of one's own."""
