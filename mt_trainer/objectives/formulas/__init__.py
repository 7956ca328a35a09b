"""The objectives as mathematics: pure functions of per-token logit statistics or of two distributions, in nats."""
