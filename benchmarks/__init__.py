"""Datasets as questions, the symbolic executor, and measurements."""
