"""What came out of a run: tables, comparisons, stories, sweeps."""
