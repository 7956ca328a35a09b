"""When a run diverges: seen, kept in a capsule, gone back from, gone through again."""
