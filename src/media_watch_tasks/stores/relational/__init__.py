"""What the stores on SQLite and on PostgreSQL have in common: what rows mean, and the SQL that both run."""
