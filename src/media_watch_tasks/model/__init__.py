"""Frozen values: what a source holds, what a task is, what happened. No input or output."""
