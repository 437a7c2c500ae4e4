"""What is asked, and how an answer is judged: cells, grids, their identity, verdicts."""
