"""What a notebook or a page shows: panels, figures, exercises."""
