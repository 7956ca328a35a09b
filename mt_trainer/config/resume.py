"""Which settings may change when a run is resumed.

A key is `harmless` if the resumed run's weights, best checkpoint and reproducible log then are those of a run that had
the new value all along. A `limit` only says when the run ends: it may change, but that is told, because a run that has
come to its end before was validated there, and one that is beyond its new end stays there. All others are `fixed`:
changing them needs a new run folder.
"""

from collections.abc import Sequence
from typing import Any, Literal

from mt_trainer.config.resolved import differences
from mt_trainer.config.schema import TrainConfig

Resumption = Literal["harmless", "limit", "fixed", "fixed_if_scheduled"]

RESUMPTION: dict[str, Resumption] = {
    # another corpus or another dev set is another run; the test sets are only scored at the end
    "data.src_lang": "fixed",
    "data.tgt_lang": "fixed",
    "data.train": "fixed",
    "data.dev": "fixed",
    "data.test": "harmless",
    "data.max_length": "fixed",
    "data.max_length_ratio": "fixed",
    "data.drop_identical": "fixed",
    "data.drop_duplicates": "fixed",
    "data.subword_alpha": "fixed",
    "data.subword_num_best": "fixed",
    "data.on_invalid_text": "fixed",
    # it refuses or lets pass, and changes nothing
    "data.max_overlap": "harmless",
    "tokenizer.algorithm": "fixed",
    "tokenizer.vocab_size": "fixed",
    "tokenizer.joint": "fixed",
    "tokenizer.character_coverage": "fixed",
    "tokenizer.byte_fallback": "fixed",
    "tokenizer.max_training_lines": "fixed",
    "tokenizer.model_file": "fixed",
    "tokenizer.src_model_file": "fixed",
    "tokenizer.tgt_model_file": "fixed",
    "model.preset": "fixed",
    "model.num_encoder_layers": "fixed",
    "model.num_decoder_layers": "fixed",
    "model.d_model": "fixed",
    "model.ffn_dim": "fixed",
    "model.num_heads": "fixed",
    "model.norm_first": "fixed",
    "model.positions": "fixed",
    "model.activation": "fixed",
    "model.dropout": "fixed",
    "model.attention_dropout": "fixed",
    "model.activation_dropout": "fixed",
    "model.share_embeddings": "fixed",
    "objective": "fixed",
    "optim.schedule": "fixed",
    "optim.beta1": "fixed",
    "optim.beta2": "fixed",
    "optim.epsilon": "fixed",
    "optim.weight_decay": "fixed",
    "optim.clip_norm": "fixed",
    "training.batch_tokens": "fixed",
    # the split into micro-batches changes the order of sums and the dropout masks, so the last bits
    "training.accumulation": "fixed",
    # the same gradients, bit for bit
    "training.recompute_activations": "harmless",
    # linear, cosine and wsd decay towards it; for the others it is a limit
    "training.max_steps": "fixed_if_scheduled",
    "training.max_epochs": "limit",
    "training.max_tokens": "limit",
    "training.max_seconds": "limit",
    # it decides which steps have a line in the log
    "training.log_every_steps": "fixed",
    # validations decide which checkpoints exist, which is the best and when patience ends
    "training.validate_every_steps": "fixed",
    "training.select_by": "fixed",
    "training.patience": "limit",
    # only how many older checkpoints lie there: the best, the newest and those to be averaged stay in any case
    "training.keep_checkpoints": "harmless",
    # the average is itself a checkpoint and can be the best; those it needs may be gone already
    "training.average_checkpoints": "fixed",
    # they decide whether a run ends or goes back, from where it then is another
    "training.max_skipped_steps": "limit",
    "training.max_ppl_ratio": "limit",
    "training.on_divergence": "limit",
    "training.max_roll_backs": "limit",
    "training.ema_decay": "fixed",
    # the search and the tokeniser of BLEU change the dev BLEU that the best checkpoint was chosen by
    "decoding.strategy": "fixed",
    "decoding.beam_size": "fixed",
    "decoding.length_penalty": "fixed",
    "decoding.max_length_ratio": "fixed",
    "decoding.max_length_constant": "fixed",
    "decoding.n_best": "fixed",
    "decoding.temperature": "fixed",
    "decoding.precision": "fixed",
    "decoding.batch_tokens": "fixed",
    "evaluation.tokenize": "fixed",
    "evaluation.lowercase": "fixed",
    "evaluation.moses_lowercase": "harmless",
    "evaluation.num_samples": "harmless",
    "runtime.run_folder": "harmless",
    "runtime.cache_folder": "harmless",
    # another device, precision or number of threads adds numbers up in another order
    "runtime.device": "fixed",
    "runtime.precision": "fixed",
    "runtime.threads": "fixed",
    "runtime.compile": "fixed",
    "runtime.logit_buffer_bytes": "fixed",
    "runtime.rank_timeout_seconds": "harmless",
    "runtime.seed": "fixed",
}
"""Every key, or the key of a whole tagged union or source."""

SCHEDULES_TO_AN_END = ("linear", "cosine", "wsd")
"""The schedules whose rate depends on `training.max_steps`."""


def resumption_of(key: str) -> Resumption:
    """The class of a dotted key such as `data.train.0.src`.

    Raises:
        KeyError: the key is not classified.
    """
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        if found := RESUMPTION.get(".".join(parts[:length])):
            return found
    raise KeyError(key)


def refused_on_resume(old: TrainConfig, new: TrainConfig) -> list[tuple[str, Any, Any]]:
    """The differences that a resumed run cannot take, as `differences` gives them; empty if the run can go on."""
    fixed = {"fixed", "fixed_if_scheduled"} if _has_scheduled_end(old, new) else {"fixed"}
    return [change for change in differences(old, new) if resumption_of(change[0]) in fixed]


def told_on_resume(old: TrainConfig, new: TrainConfig) -> list[tuple[str, Any, Any]]:
    """The differences that a resumed run takes, but that its log may show."""
    limits = {"limit"} if _has_scheduled_end(old, new) else {"limit", "fixed_if_scheduled"}
    return [change for change in differences(old, new) if resumption_of(change[0]) in limits]


def listed_changes(changes: Sequence[tuple[str, Any, Any]]) -> str:
    """Differences as lines of a message: the key, the value in the run folder and the new one, as YAML has them."""
    lines = []
    for key, before, now in changes:
        why = "; the learning rate ends with it" if resumption_of(key) == "fixed_if_scheduled" else ""
        lines.append(f"   {key}: {_as_yaml(before)} in the folder, {_as_yaml(now)} now{why}")
    return "\n".join(lines)


def _as_yaml(value: Any) -> str:
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _has_scheduled_end(old: TrainConfig, new: TrainConfig) -> bool:
    return not {old.optim.schedule.name, new.optim.schedule.name}.isdisjoint(SCHEDULES_TO_AN_END)
