"""From raw parallel text to batches on the device."""
