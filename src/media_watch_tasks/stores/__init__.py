"""Stores: where the state of sources and the queue of tasks are kept."""
