"""What any objective may have added."""

from mt_trainer.config.section import setting

Z_LOSS = setting(0.0, "Weight of logsumexp(logits)^2, added to the objective; 0 for none.")
