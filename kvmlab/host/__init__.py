"""A real host: readers of its recordings, explanations, predictions, and live measurements."""
