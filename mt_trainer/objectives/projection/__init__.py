"""Objectives together with the output projection, by chunks of tokens and with analytic gradients."""
