"""A study on disk: its tables, parts and records, which rows count, and what is there; pyarrow ends here."""
