"""The processes of a run, its ranks: found from torchrun's environment, joined, watched."""
