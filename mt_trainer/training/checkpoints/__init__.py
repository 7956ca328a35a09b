"""Checkpoints: what lies in one, how it is written and verified, which ones stay."""
