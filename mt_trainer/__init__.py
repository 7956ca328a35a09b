"""mt_trainer: raw parallel text in, a Transformer translation model and a publishable BLEU score out."""

__version__ = "0.1.0"
