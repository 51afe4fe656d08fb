"""A tfds split as a random-access source, and batches as functions of the step."""
