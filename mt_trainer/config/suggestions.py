"""The nearest valid key or value for a misspelt one, and the names that other toolkits use for ours."""

from collections.abc import Iterable, Mapping
from functools import cache

from mt_trainer.config.section import Section
from mt_trainer.config.settings import Setting, groups, settings_of, tag_of

OTHER_NAMES: dict[str, str] = {
    **dict.fromkeys(["lr", "learning_rate", "max_lr", "base_lr"], "optim.schedule.peak_lr"),
    **dict.fromkeys(
        ["warmup", "warmup_updates", "num_warmup_steps", "learning_rate_warmup"], "optim.schedule.warmup_steps"
    ),
    **dict.fromkeys(["min_lr", "end_learning_rate", "learning_rate_min"], "optim.schedule.final_lr"),
    **dict.fromkeys(["scheduler", "lr_scheduler", "scheduling", "lr_schedule"], "optim.schedule"),
    **dict.fromkeys(["optimizer", "optimiser"], "optim"),
    **dict.fromkeys(["adam_beta1", "adam_betas", "betas"], "optim.beta1"),
    **dict.fromkeys(["eps", "adam_eps", "adam_epsilon"], "optim.epsilon"),
    **dict.fromkeys(["wd", "l2"], "optim.weight_decay"),
    **dict.fromkeys(["clip_grad_norm", "max_grad_norm", "grad_clip", "gradient_clip_val"], "optim.clip_norm"),
    **dict.fromkeys(["label_smoothing", "smoothing", "label_smoothing_factor"], "objective.epsilon"),
    **dict.fromkeys(["loss", "criterion"], "objective"),
    **dict.fromkeys(["batch_size", "tokens_per_batch", "per_device_train_batch_size"], "training.batch_tokens"),
    **dict.fromkeys(
        ["update_freq", "gradient_accumulation_steps", "grad_accum", "accum_count", "batch_multiplier"],
        "training.accumulation",
    ),
    **dict.fromkeys(
        ["max_updates", "max_update", "train_steps", "total_steps", "steps", "updates"], "training.max_steps"
    ),
    **dict.fromkeys(["epochs", "max_epoch", "num_epochs", "num_train_epochs"], "training.max_epochs"),
    **dict.fromkeys(["early_stopping", "early_stopping_patience"], "training.patience"),
    **dict.fromkeys(
        ["save_interval", "validation_freq", "valid_steps", "eval_steps", "valid_interval"],
        "training.validate_every_steps",
    ),
    **dict.fromkeys(["logging_freq", "log_interval", "logging_steps", "report_every"], "training.log_every_steps"),
    **dict.fromkeys(["keep_best_ckpts", "keep_last_epochs", "save_total_limit"], "training.keep_checkpoints"),
    **dict.fromkeys(["metric", "eval_metric", "best_checkpoint_metric", "early_stopping_metric"], "training.select_by"),
    **dict.fromkeys(["ema", "exponential_moving_average"], "training.ema_decay"),
    **dict.fromkeys(["heads", "n_heads", "num_attention_heads", "nhead", "attention_heads"], "model.num_heads"),
    **dict.fromkeys(["hidden_size", "hidden_dim", "embed_dim", "embedding_dim", "model_dim"], "model.d_model"),
    **dict.fromkeys(["d_ff", "ff_size", "dim_feedforward", "ffn_embed_dim", "transformer_ff"], "model.ffn_dim"),
    **dict.fromkeys(["encoder_layers", "enc_layers", "num_layers", "layers", "n_layers"], "model.num_encoder_layers"),
    **dict.fromkeys(["decoder_layers", "dec_layers"], "model.num_decoder_layers"),
    **dict.fromkeys(["share_all_embeddings", "tied_embeddings", "tie_embeddings"], "model.share_embeddings"),
    **dict.fromkeys(["pre_norm", "normalize_before", "layer_norm"], "model.norm_first"),
    **dict.fromkeys(["relu_dropout", "ffn_dropout"], "model.activation_dropout"),
    **dict.fromkeys(["source_lang", "source_language", "src_language", "source"], "data.src_lang"),
    **dict.fromkeys(["target_lang", "target_language", "tgt_language", "target"], "data.tgt_lang"),
    **dict.fromkeys(["valid", "validation", "valid_data", "dev_data"], "data.dev"),
    **dict.fromkeys(["train_data", "trainset"], "data.train"),
    **dict.fromkeys(["max_len", "max_seq_len", "max_sent_length", "max_sequence_length"], "data.max_length"),
    **dict.fromkeys(["vocab", "bpe_size", "voc_limit", "num_merges", "vocabulary_size"], "tokenizer.vocab_size"),
    **dict.fromkeys(["joined_dictionary", "joint_vocab", "share_vocab"], "tokenizer.joint"),
    **dict.fromkeys(["beam", "num_beams", "beams"], "decoding.beam_size"),
    **dict.fromkeys(["lenpen", "beam_alpha", "alpha"], "decoding.length_penalty"),
    **dict.fromkeys(["nbest"], "decoding.n_best"),
    **dict.fromkeys(["fp16", "bf16", "amp", "mixed_precision", "dtype"], "runtime.precision"),
    **dict.fromkeys(["gpu", "cuda", "use_cuda", "accelerator", "no_cuda"], "runtime.device"),
    **dict.fromkeys(["num_threads", "cpu_threads", "num_workers"], "runtime.threads"),
    **dict.fromkeys(["random_seed"], "runtime.seed"),
    **dict.fromkeys(["output_dir", "save_dir", "model_dir", "checkpoint_dir", "output"], "runtime.run_folder"),
}
"""What fairseq, Joey NMT, OpenNMT, Sockeye, Marian and Hugging Face call a setting -> what it is called here."""

OTHER_CHOICES: dict[str, str] = {
    **dict.fromkeys(["gpu", "cuda:0", "mps"], "cuda"),
    **dict.fromkeys(["float32", "32", "full"], "fp32"),
    **dict.fromkeys(["bfloat16", "fp16", "float16", "16", "mixed", "half"], "bf16"),
    **dict.fromkeys(["ppl", "perplexity", "loss"], "nll"),
    **dict.fromkeys(["ce", "xent", "nll_loss", "crossentropy"], "cross_entropy"),
    **dict.fromkeys(["label_smoothed_cross_entropy", "smoothing"], "label_smoothing"),
    **dict.fromkeys(["sample", "random"], "sampling"),
    **dict.fromkeys(["rdrop", "label_smoothed_cross_entropy_with_rdrop"], "r_drop"),
    **dict.fromkeys(["kd", "knowledge_distillation", "word_kd"], "distillation"),
    **dict.fromkeys(["earth_mover", "wasserstein"], "emo"),
    **dict.fromkeys(["loss_dropper"], "loss_truncation"),
    **dict.fromkeys(["ent", "error_norm"], "error_norm_truncation"),
}
"""What other toolkits call a choice -> what it is called here."""


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours between two words (optimal string alignment)."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, start=1):
        row = [i]
        for j, y in enumerate(b, start=1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def nearest(word: str, candidates: Iterable[str], *, within: int | None = None) -> list[str]:
    """The candidates closest to `word`, several on a tie; none if all are further than `within` edits.

    Case and `-` for `_` do not count. By default a third of the word may differ.
    """
    word = word[:80].lower().replace("-", "_")
    limit = max(1, len(word) // 3) if within is None else within
    distances = {c: edit_distance(word, c.lower()) for c in candidates if abs(len(word) - len(c)) <= limit}
    best = min(distances.values(), default=limit + 1)
    return [c for c, distance in distances.items() if distance == best and distance <= limit]


def find_setting(key: str) -> Setting | None:
    """The setting of a dotted key; of several variants the default one's."""
    return _all_settings().get(key)


def suggest_key(
    name: str, path: str, section: type[Section], given: Iterable[str], siblings: Mapping[str, type[Section]]
) -> str:
    """The help line for an unknown key.

    Args:
        name: the key that nobody knows.
        path: the section it stands in, as the user addresses it; empty at the top.
        section: the class of that section.
        given: the keys that stand there already; they are not what was meant.
        siblings: the other variants of the section, by their tags.
    """
    own = settings_of(section)
    free = [key for key in own if key not in set(given)]
    if one_edit := nearest(name, free, within=1):
        return _closest(one_edit, own)
    owners = [tag for tag, sibling in siblings.items() if name in settings_of(sibling)]
    if owners:
        return f"`{name}` belongs to {_listed(owners)}; {valid_keys(section)}"
    if elsewhere := _elsewhere(name, path, within=0):
        return _closest(elsewhere, own, path)
    if close := nearest(name, free):
        return _closest(close, own)
    if elsewhere := _elsewhere(name, path, within=max(1, len(name) // 6)):
        return _closest(elsewhere, own, path)
    return valid_keys(section)


def suggest_choice(word: str, choices: Iterable[str]) -> str:
    """The help line for a value that is not among the choices."""
    choices = list(choices)
    known = [choice for choice in choices if OTHER_CHOICES.get(word.lower()) == choice]
    near = nearest(word, choices) if word else []
    close = known or near or [choice for choice in choices if choice.endswith(f"_{word}")]
    listed = ", ".join(f"`{choice}`" for choice in choices)
    return f"the closest is `{close[0]}`; allowed: {listed}" if close else f"allowed: {listed}"


@cache
def _all_settings() -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for group in groups():
        for setting in group.settings:
            found.setdefault(group.key(setting), setting)
    return found


def _elsewhere(name: str, path: str, *, within: int) -> list[str]:
    """Keys of that name in other sections, and our names for other toolkits'; sources only from within `data`."""
    by_name: dict[str, list[str]] = {}
    for group in groups():
        is_source = group.path.startswith("data.")
        for setting in group.settings:
            if not (is_source and not path.startswith("data")) and setting.name != tag_of(group.section):
                by_name.setdefault(setting.name, []).append(group.key(setting))
    for other, key in OTHER_NAMES.items():
        by_name.setdefault(other, []).append(key)
    found = [key for close in nearest(name, by_name, within=within) for key in by_name[close]]
    return list(dict.fromkeys(found))[:3]


def _closest(keys: list[str], own: Mapping[str, Setting], path: str = "") -> str:
    """`keys` are names of this section's own settings or full keys."""
    described = []
    for key in keys[:3]:
        name = key.removeprefix(f"{path}.") if path else key
        setting = own.get(name) or find_setting(key)
        assert setting is not None, key
        described.append(f"`{name if name in own else key}` ({setting.allowed})")
    noun = "setting is" if len(described) == 1 else "settings are"
    return f"the closest {noun} " + " and ".join(described)


def _listed(names: list[str]) -> str:
    """Some names in words, at most three of them."""
    shown = [f"`{name}`" for name in names]
    if len(shown) > 3:
        shown[3:] = [f"{len(shown) - 3} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def valid_keys(section: type[Section]) -> str:
    """The help line that lists all keys of a section."""
    return "valid keys here: " + ", ".join(f"`{key}`" for key in settings_of(section))
