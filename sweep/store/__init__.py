"""A study on disk: tables, parts, records, which rows count, what is stored; only here is pyarrow used."""
