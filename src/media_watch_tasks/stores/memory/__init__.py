"""Stores that forget everything at the end of the process: for tests and trials."""
