"""Scores that say how they were made. One path for validation, the final evaluation and mt-eval."""
