"""What finite width adds."""
