"""Settings that contradict each other: one small check a contradiction.

A check is given the config and answers with the contradiction, or None. `keys` are the settings it reads; the message
points at the first of them that stands in the file, and the check is left out when one of them is itself refused.
"""

from collections.abc import Callable, Iterable

from mt_trainer.config.contradiction import Check, Contradiction
from mt_trainer.config.data import PhrasebookSource, TokenizerConfig
from mt_trainer.config.objective_checks import objective_checks
from mt_trainer.config.optim import CosineSchedule, LinearSchedule, WsdSchedule
from mt_trainer.config.schema import TrainConfig
from mt_trainer.config.settings import shown_value
from mt_trainer.config.training import TrainingConfig

CHECKS: list[Check] = []


def check(*keys: str) -> Callable[[Callable[[TrainConfig], Contradiction | None]], None]:
    """Enter the function below into `CHECKS`."""

    def enter(ask: Callable[[TrainConfig], Contradiction | None]) -> None:
        CHECKS.append(Check(keys, ask))

    return enter


def contradictions(config: TrainConfig, refused: Iterable[str] = ()) -> list[tuple[Check, Contradiction]]:
    """What contradicts itself in a config, leaving out checks that look at a refused key."""
    refused = list(refused)
    found = []
    for entry in [*CHECKS, *objective_checks(config)]:
        if not any(_overlap(key, bad) for key in entry.keys for bad in refused):
            answer = entry.ask(config)
            if answer is not None:
                found.append((entry, answer))
    return found


def _overlap(a: str, b: str) -> bool:
    """Whether two keys are the same or one holds the other; `data.train.0` overlaps with `data.train`."""
    return f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}.")


@check("model.num_heads", "model.d_model", "model.preset")
def _heads_divide_width(config: TrainConfig) -> Contradiction | None:
    d_model, num_heads = config.model.d_model, config.model.num_heads
    if d_model % num_heads == 0:
        return None
    divisors = [heads for heads in range(1, min(d_model, 1024) + 1) if d_model % heads == 0]
    near = sorted(sorted(divisors, key=lambda heads: abs(heads - num_heads))[:3])
    return Contradiction(
        f"`model.num_heads` {num_heads} does not divide `model.d_model` {d_model}",
        f"nearby heads that do: {', '.join(map(str, near))}",
    )


@check("model.positions", "model.num_heads", "model.d_model", "model.preset")
def _rotary_pairs(config: TrainConfig) -> Contradiction | None:
    head_dim, rest = divmod(config.model.d_model, config.model.num_heads)
    if config.model.positions != "rotary" or rest or head_dim % 2 == 0:
        return None
    return Contradiction(
        f"rotary positions turn pairs, but `model.d_model` / `model.num_heads` is {head_dim}, an odd number",
        "choose sizes whose quotient is even, or other `model.positions`",
    )


@check("optim.schedule.name", "training.max_steps")
def _decay_needs_an_end(config: TrainConfig) -> Contradiction | None:
    schedule = config.optim.schedule
    if not isinstance(schedule, LinearSchedule | CosineSchedule | WsdSchedule) or config.training.max_steps is not None:
        return None
    return Contradiction(
        f"the schedule `{schedule.name}` decays until `training.max_steps`, which is null",
        "give `training.max_steps`, or a schedule without an end such as `inverse_sqrt`",
    )


@check("optim.schedule.warmup_steps", "optim.schedule.decay_steps", "training.max_steps", "optim.schedule")
def _warmup_and_decay_fit(config: TrainConfig) -> Contradiction | None:
    schedule, max_steps = config.optim.schedule, config.training.max_steps
    if not isinstance(schedule, LinearSchedule | CosineSchedule | WsdSchedule) or max_steps is None:
        return None
    if schedule.warmup_steps >= max_steps:
        return Contradiction(
            f"`optim.schedule.warmup_steps` {schedule.warmup_steps} leaves nothing of `training.max_steps` {max_steps}",
            f"warmup_steps < {max_steps}",
        )
    if isinstance(schedule, WsdSchedule) and schedule.warmup_steps + schedule.decay_steps > max_steps:
        return Contradiction(
            f"`optim.schedule`: warmup_steps {schedule.warmup_steps} + decay_steps {schedule.decay_steps} "
            f"are more than `training.max_steps` {max_steps}",
            f"warmup_steps + decay_steps <= {max_steps}",
        )
    return None


@check("training.max_steps", "training.max_epochs", "training.max_tokens", "training.max_seconds")
def _some_limit(config: TrainConfig) -> Contradiction | None:
    training = config.training
    limits = (training.max_steps, training.max_epochs, training.max_tokens, training.max_seconds)
    if any(limit is not None for limit in limits):
        return None
    return Contradiction(
        "the run would never end: no limit is given",
        "give one of `training.max_steps`, `training.max_epochs`, `training.max_tokens`, `training.max_seconds`",
    )


@check("training.batch_tokens", "training.accumulation", "data.max_length")
def _a_row_fits(config: TrainConfig) -> Contradiction | None:
    batch_tokens, accumulation = config.training.batch_tokens, config.training.accumulation
    needed = config.data.max_length * accumulation
    if batch_tokens >= needed:
        return None
    return Contradiction(
        f"`training.batch_tokens` {batch_tokens} over `training.accumulation` {accumulation} holds no row "
        f"of `data.max_length` {config.data.max_length}",
        f"batch_tokens >= {needed}, or a smaller data.max_length or accumulation",
    )


@check("training.max_roll_backs", "training.on_divergence")
def _going_back_is_asked_for(config: TrainConfig) -> Contradiction | None:
    times, default = config.training.max_roll_backs, TrainingConfig.model_fields["max_roll_backs"].default
    if config.training.on_divergence == "roll_back" or times == default:
        return None
    return Contradiction(
        f"`training.max_roll_backs` {times} has no effect: `training.on_divergence` is `stop`",
        f"set `training.on_divergence: roll_back`, or leave `training.max_roll_backs` out or at {default}",
    )


@check("model.share_embeddings", "tokenizer.joint")
def _shared_vocabulary(config: TrainConfig) -> Contradiction | None:
    if config.model.share_embeddings != "all" or config.tokenizer.joint:
        return None
    return Contradiction(
        "`model.share_embeddings: all` needs one vocabulary, but `tokenizer.joint` is false",
        "set `model.share_embeddings: decoder`, or `tokenizer.joint: true`",
    )


@check("tokenizer.model_file", "tokenizer.joint")
def _one_model_file_is_joint(config: TrainConfig) -> Contradiction | None:
    if config.tokenizer.model_file is None or config.tokenizer.joint:
        return None
    return Contradiction(
        "`tokenizer.model_file` is for both languages, but `tokenizer.joint` is false",
        "give `tokenizer.src_model_file` and `tokenizer.tgt_model_file`, or set `tokenizer.joint: true`",
    )


@check("tokenizer.src_model_file", "tokenizer.tgt_model_file", "tokenizer.joint")
def _two_model_files_are_not(config: TrainConfig) -> Contradiction | None:
    tokenizer = config.tokenizer
    given = [tokenizer.src_model_file is not None, tokenizer.tgt_model_file is not None]
    if any(given) and tokenizer.joint:
        return Contradiction(
            "a tokenizer file for each side is given, but `tokenizer.joint` is true",
            "set `tokenizer.joint: false`, or give `tokenizer.model_file`",
        )
    if any(given) and not all(given):
        return Contradiction(
            "a tokenizer file is given for one side only",
            "give both `tokenizer.src_model_file` and `tokenizer.tgt_model_file`, or neither",
        )
    return None


@check("data.subword_alpha", "tokenizer.algorithm")
def _segmentations_have_probabilities(config: TrainConfig) -> Contradiction | None:
    if config.data.subword_alpha is None or config.tokenizer.algorithm == "unigram":
        return None
    return Contradiction(
        f"`data.subword_alpha` draws by a unigram model, but `tokenizer.algorithm` is `{config.tokenizer.algorithm}`",
        "set `tokenizer.algorithm: unigram`, or leave `data.subword_alpha` out",
    )


MODEL_FILES = ("model_file", "src_model_file", "tgt_model_file")
"""The keys of `tokenizer` that name a trained one."""


def _only_for_training(name: str) -> Callable[[TrainConfig], Contradiction | None]:
    """Whether a setting says how a tokenizer is trained while a trained one is given; its default may stay."""

    def ask(config: TrainConfig) -> Contradiction | None:
        tokenizer, default = config.tokenizer, TokenizerConfig.model_fields[name].default
        given = [each for each in MODEL_FILES if getattr(tokenizer, each) is not None]
        value = getattr(tokenizer, name)
        if not given or value == default:
            return None
        return Contradiction(
            f"`tokenizer.{name}` {shown_value(value)} has no effect: `tokenizer.{given[0]}` is already trained",
            f"leave `tokenizer.{name}` out or at {shown_value(default)}, or leave the model file out",
        )

    ask.__name__ = f"_{name}_of_a_given_tokenizer"
    return ask


for _name in TokenizerConfig.model_fields:
    if _name not in ("joint", *MODEL_FILES):
        check(f"tokenizer.{_name}", *(f"tokenizer.{file}" for file in MODEL_FILES))(_only_for_training(_name))


@check("decoding.n_best", "decoding.beam_size", "decoding.strategy")
def _n_best_fits(config: TrainConfig) -> Contradiction | None:
    decoding = config.decoding
    if decoding.strategy == "beam" and decoding.n_best > decoding.beam_size:
        return Contradiction(
            f"`decoding.n_best` {decoding.n_best} is more than `decoding.beam_size` {decoding.beam_size}",
            f"n_best <= {decoding.beam_size}, or a larger beam",
        )
    if decoding.strategy == "greedy" and decoding.n_best > 1:
        return Contradiction(
            f"greedy search gives one translation, but `decoding.n_best` is {decoding.n_best}",
            "set `decoding.n_best: 1`, or `decoding.strategy: beam`",
        )
    return None


@check("data.tgt_lang", "data.src_lang")
def _two_languages(config: TrainConfig) -> Contradiction | None:
    if config.data.src_lang != config.data.tgt_lang:
        return None
    return Contradiction(
        f"`data.src_lang` and `data.tgt_lang` are both `{config.data.src_lang}`", "name two different languages"
    )


@check("data.src_lang", "data.tgt_lang", "data.train", "data.dev", "data.test")
def _phrasebook_languages(config: TrainConfig) -> Contradiction | None:
    data = config.data
    sources = [*data.train, data.dev, *data.test.values()]
    if {data.src_lang, data.tgt_lang} == {"en", "de"} or data.src_lang == data.tgt_lang:
        return None
    if not any(isinstance(source, PhrasebookSource) for source in sources):
        return None
    return Contradiction(
        f"the phrasebook is English and German, not `{data.src_lang}` and `{data.tgt_lang}`",
        "set `data.src_lang: en` and `data.tgt_lang: de`, or the other way round",
    )


@check("data.test")
def _dev_is_no_test_set(config: TrainConfig) -> Contradiction | None:
    if "dev" not in config.data.test:
        return None
    return Contradiction(
        "a test set is called `dev`, which is the name of the set for validation",
        "give it another name, such as `held_out`",
    )
