"""What a chain says: words, and advice."""
