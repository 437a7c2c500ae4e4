"""What became of cells: results, failures, verdicts."""
