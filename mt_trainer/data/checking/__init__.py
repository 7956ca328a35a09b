"""What is wrong with a corpus, found before training: `mt-data check`."""
