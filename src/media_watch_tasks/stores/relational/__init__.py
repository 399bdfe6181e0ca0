"""What the stores on SQLite and on PostgreSQL have in common: the tasks as rows, and the SQL that both run."""
