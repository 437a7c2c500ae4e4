"""What lies beside a study's tables: the records of its runs."""
