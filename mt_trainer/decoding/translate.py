"""Texts in, translations out: tokenizer, model and search joined.

B sentences, S source positions, W beam_size or samples a sentence, D d_model, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never, get_args

import torch
from torch import Tensor
from tqdm import tqdm

from mt_trainer.config.evaluation import DecodingConfig
from mt_trainer.decoding.search import Hypothesis, StepFunction, beam_search, greedy_search, sample
from mt_trainer.errors import ConfigError, Problem
from mt_trainer.model.packed import DecodingModel, Precision, has_bf16, has_int8, packed, unpacked
from mt_trainer.model.transformer import DecoderCache, Transformer
from mt_trainer.tokenizer import TokenizerPair
from mt_trainer.workers import Workers

MAX_ROWS = 1024
"""Beams decoded together. A step holds several float32 tables [rows, V], 128 MiB each for 32,768 pieces; without this
bound their size would grow as sentences get shorter."""


@dataclass(frozen=True)
class Translation:
    """One translation of a text.

    Attributes:
        text: detokenised.
        tokens: target ids, without BOS and EOS.
        score: log_prob over the length penalty, what a beam ranks by; 0 for a blank line.
        log_prob: natural logarithm of the probability of tokens and EOS; 0 for a blank line.
        source_was_cut: the source had more tokens than the model has positions; the rest was not seen.
    """

    text: str
    tokens: list[int]
    score: float
    log_prob: float
    source_was_cut: bool


class ModelStep:
    """A model in the middle of decoding, as the step function that the searches take."""

    def __init__(self, model: DecodingModel, cache: DecoderCache) -> None:
        self.model, self.cache = model, cache

    def __call__(self, tokens: Tensor) -> Tensor:
        """Tokens [B, W] -> logits [B, W, V]."""
        return self.model.project(self.model.transformer.decode_step(tokens, self.cache))

    def reorder(self, beams: Tensor) -> None:
        """From now on beam w of sentence b continues beam beams[b, w] of before."""
        self.cache.reorder(beams)

    def keep(self, sentences: Tensor) -> None:
        """Keep only these sentences of the batch."""
        self.cache.keep(sentences)


class Translator:
    """Translates texts with a model and one set of search settings.

    Args:
        model: not changed; put into evaluation mode while it translates.
        tokenizers: of the model.
        device: where the model lies.
        precision: of the matrix products; int8 on a CPU only.
        strategy, beam_size, length_penalty, n_best, temperature: see `DecodingConfig`.
        max_length_ratio, max_length_constant: the longest output has ratio * (source tokens) + constant tokens, the end
            mark counted on both sides, and at most as many as the model has positions.
        batch_tokens: source tokens (padded) times beams decoded together, and at most `MAX_ROWS` beams; a sentence that
            is too large alone is a batch of its own.
        seed: of sampling.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizers: TokenizerPair,
        *,
        device: torch.device,
        precision: Precision,
        strategy: Literal["beam", "greedy", "sampling"],
        beam_size: int,
        length_penalty: float,
        max_length_ratio: float,
        max_length_constant: int,
        n_best: int,
        temperature: float,
        batch_tokens: int,
        seed: int,
    ) -> None:
        self.model, self.tokenizers, self.device, self.precision = model, tokenizers, device, precision
        self.strategy, self.beam_size, self.n_best = strategy, beam_size, n_best
        self.length_penalty, self.temperature, self.seed = length_penalty, temperature, seed
        self.max_length_ratio, self.max_length_constant = max_length_ratio, max_length_constant
        self.batch_tokens = batch_tokens
        self.is_packed = device.type == "cpu" and torch.backends.mkldnn.is_available()
        self.width = {"beam": beam_size, "greedy": 1, "sampling": n_best}[strategy]

    def translate(
        self, texts: Sequence[str], *, first_id: int = 0, progress: str | None = None
    ) -> list[list[Translation]]:
        """For each text, in the order given, its translations, best first (samples: in the order drawn).

        A blank text gives one blank translation.

        Args:
            texts: detokenised lines of the source language.
            first_id: number of the first text in the whole input; what sampling draws for a text depends on its number.
            progress: label of a progress bar, shown where stderr is a terminal; None for no bar.
        """
        limit = self.model.max_positions - 1  # the end mark takes one
        sources = self.tokenizers.src.encode(texts)
        results = [[Translation("", [], 0.0, 0.0, False)] for _ in texts]
        batches = list(self._batches([min(len(source), limit) for source in sources]))
        was_training = self.model.training
        self.model.eval()
        try:
            # As it stands: training may have changed the weights since the last text.
            model = packed(self.model, self.precision) if self.is_packed else unpacked(self.model)
            with tqdm(
                total=len(texts), desc=progress, unit=" sentences", leave=False, disable=progress is None or None
            ) as bar:
                bar.update(sum(not source for source in sources))

                def found(batch: list[int]) -> list[list[Hypothesis]]:
                    rows = [sources[i][:limit] for i in batch]
                    lowered = self.precision == "bf16" and not self.is_packed
                    with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=lowered):
                        hypotheses = self._search(model, rows, [first_id + i for i in batch])
                    bar.update(len(batch))
                    return hypotheses

                for batch, rows in zip(batches, self._for_each(batches, found), strict=True):
                    for i, hypotheses in zip(batch, rows, strict=True):
                        results[i] = self._translations(hypotheses, source_was_cut=len(sources[i]) > limit)
        finally:
            self.model.train(was_training)
        return results

    def _for_each(
        self, batches: list[list[int]], search: Callable[[list[int]], list[list[Hypothesis]]]
    ) -> list[list[list[Hypothesis]]]:
        """What the search gives for each batch, in their order; on a CPU side by side, as many as there are threads."""
        threads = torch.get_num_threads()
        number = min(len(batches), threads) if self.device.type == "cpu" else 1
        if number < 2:
            return [search(batch) for batch in batches]
        workers = Workers(number, threads=threads)
        with workers.share():
            return workers.map(search, batches)

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Positions of the texts that are not empty, in batches, longest first: too little memory shows at once."""
        batch: list[int] = []
        for i in sorted((i for i, length in enumerate(lengths) if length), key=lambda i: -lengths[i]):
            rows = (len(batch) + 1) * self.width
            if batch and (rows > MAX_ROWS or rows * (lengths[batch[0]] + 1) > self.batch_tokens):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def _search(
        self, model: DecodingModel, sources: Sequence[Sequence[int]], sentence_ids: Sequence[int]
    ) -> list[list[Hypothesis]]:
        """The search of one batch of source ids, without end mark."""
        src, tgt = self.tokenizers.src, self.tokenizers.tgt
        lengths = torch.tensor([len(source) + 1 for source in sources])
        src_tokens = torch.full((len(sources), int(lengths.max())), src.pad_id)  # [B, S]
        for row, source in zip(src_tokens, sources, strict=True):
            row[: len(source) + 1] = torch.tensor([*source, src.eos_id])
        is_real = torch.arange(src_tokens.shape[1]) < lengths[:, None]  # [B, S]
        max_lengths = (self.max_length_ratio * lengths).long() + self.max_length_constant
        max_lengths = max_lengths.clamp(max=self.model.max_positions).to(self.device)
        src_tokens, is_real = src_tokens.to(self.device), is_real.to(self.device)

        step = self._first_step(model, src_tokens, is_real, int(max_lengths.max()))
        special = {"bos_id": tgt.bos_id, "eos_id": tgt.eos_id}
        forbidden_ids = (tgt.pad_id, tgt.bos_id)
        match self.strategy:
            case "greedy":
                return greedy_search(
                    step,
                    **special,
                    forbidden_ids=forbidden_ids,
                    max_lengths=max_lengths,
                    length_penalty=self.length_penalty,
                )
            case "beam":
                return beam_search(
                    step,
                    **special,
                    forbidden_ids=forbidden_ids,
                    max_lengths=max_lengths,
                    beam_size=self.beam_size,
                    length_penalty=self.length_penalty,
                    n_best=self.n_best,
                )
            case "sampling":
                return sample(
                    step,
                    **special,
                    forbidden_ids=forbidden_ids,
                    max_lengths=max_lengths,
                    length_penalty=self.length_penalty,
                    num_samples=self.n_best,
                    temperature=self.temperature,
                    seed=self.seed,
                    sentence_ids=sentence_ids,
                )
        assert_never(self.strategy)

    def _first_step(self, model: DecodingModel, src_tokens: Tensor, is_real: Tensor, max_length: int) -> StepFunction:
        """The step function of a batch at its beginning: src_tokens int64 [B, S], is_real bool [B, S]."""
        memory = model.transformer.encode(src_tokens, is_real.long())
        num_beams = 1 if self.strategy == "beam" else self.width  # beam search starts with one
        max_slots = self.width * max_length
        cache = model.transformer.start_decoding(memory, is_real, num_beams=num_beams, max_slots=max_slots)
        return ModelStep(model, cache)

    def _translations(self, hypotheses: Sequence[Hypothesis], *, source_was_cut: bool) -> list[Translation]:
        texts = self.tokenizers.tgt.decode([hypothesis.tokens for hypothesis in hypotheses])
        return [
            Translation(text, hypothesis.tokens, hypothesis.score, hypothesis.log_prob, source_was_cut)
            for text, hypothesis in zip(texts, hypotheses, strict=True)
        ]


def require_precision(config: DecodingConfig, device: torch.device) -> None:
    """Refuse a `decoding.precision` that the device cannot compute in; it is asked before there is a model.

    Raises:
        ConfigError: MT007.
    """
    is_there = {"fp32": True, "bf16": has_bf16(device), "int8": has_int8(device)}
    if is_there[config.precision]:
        return
    place = "by this CPU" if config.precision == "bf16" else "by this build of torch"
    place = "on a GPU" if device.type == "cuda" else place
    message = f"{config.precision} is not supported {place}"
    help_ = "use " + " or ".join(f"`{name}`" for name in get_args(Precision) if is_there[name])
    raise ConfigError(Problem("MT007", message, where="decoding.precision", help=help_))


def build_translator(
    config: DecodingConfig, *, model: Transformer, tokenizers: TokenizerPair, device: torch.device, seed: int
) -> Translator:
    """The translator that validation, mt-eval and mt-translate share.

    Its matrix products are float32 unless `decoding.precision` says otherwise, whatever the training used: a score does
    not hang on which precision a machine is good at, and translations have the log-probabilities that forced scoring
    gives them.

    Raises:
        ConfigError: MT007, when the device cannot compute in the precision.
    """
    require_precision(config, device)
    return Translator(
        model,
        tokenizers,
        device=device,
        precision=config.precision,
        strategy=config.strategy,
        beam_size=config.beam_size,
        length_penalty=config.length_penalty,
        max_length_ratio=config.max_length_ratio,
        max_length_constant=config.max_length_constant,
        n_best=config.n_best,
        temperature=config.temperature,
        batch_tokens=config.batch_tokens,
        seed=seed,
    )
