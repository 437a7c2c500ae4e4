"""What is asked of a study: its tables as frames and arrays, filtered and judged, and excerpts of them."""
