"""Data sets by name: splits with random access to validated examples."""
