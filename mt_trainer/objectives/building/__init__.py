"""From section `objective` of a config to objectives, and what can be said of them before a run."""
