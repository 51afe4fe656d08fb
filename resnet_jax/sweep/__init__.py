"""All runs of an experiment: planned, estimated, and carried out a few at a time."""
