"""Stores in an SQLite database: one file, shared by the threads and processes of one machine."""
