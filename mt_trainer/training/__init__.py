"""The run: step, loop, checkpoints, records."""
