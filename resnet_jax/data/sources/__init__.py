"""Data sets by name: splits with random access to checked examples."""
