"""Translating: the ways of mt_trainer against the plain one, and parts of a step against what they replace.

    python benchmarks/decoding.py [--run runs/mine --input test.en [--reference test.de]] [--sentences 1000]

The plain way has no cache, runs all prefixes anew at each step and packs nothing; it defines what the others should
give, and takes long: it translates the first `--plain` sentences. Without `--run` an untrained model of 3+3 layers
translates random pieces. All ways in turn, medians; sentences a second by the clock and by the time that the
processor spent, which other programs disturb less. A plain sentence that another way translates otherwise is no fault
in bf16 and int8; BLEU says whether it matters.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from mt_trainer.cli.finished_run import config_of_run, open_run
from mt_trainer.config.evaluation import DecodingConfig
from mt_trainer.config.model import ModelConfig
from mt_trainer.data.text_files import TextFile
from mt_trainer.decoding.search import StepFunction
from mt_trainer.decoding.top_k import top_k
from mt_trainer.decoding.translate import Translation, Translator, build_translator
from mt_trainer.machine import commit
from mt_trainer.model import build_transformer
from mt_trainer.model.packed import DecodingModel

VOCAB_SIZE = 8000
WAYS = ("fp32", "bf16", "int8")


class PlainStep:
    """The decoder without a cache: every prefix from its beginning at every step."""

    def __init__(self, model: DecodingModel, memory: Tensor, segments: Tensor) -> None:
        self.model, self.memory, self.segments = model, memory, segments
        self.prefixes = segments.new_empty(len(memory), 1, 0)  # [B, W, T]

    def __call__(self, tokens: Tensor) -> Tensor:
        """Tokens [B, W] -> logits [B, W, V]."""
        self.prefixes = torch.cat([self.prefixes, tokens[..., None]], dim=2)
        width = tokens.shape[1]
        inputs = self.prefixes.flatten(0, 1)
        memory, segments = (part.repeat_interleave(width, dim=0) for part in (self.memory, self.segments))
        hidden = self.model.transformer.decode(inputs, torch.ones_like(inputs), memory, segments)[:, -1]
        logits: Tensor = self.model.project(hidden).unflatten(0, tokens.shape)
        return logits

    def reorder(self, beams: Tensor) -> None:
        """New beam w of sentence b continues old beam beams[b, w]."""
        self.prefixes = self.prefixes.gather(1, beams[..., None].expand(-1, -1, self.prefixes.shape[2]))

    def keep(self, sentences: Tensor) -> None:
        """Keep only these sentences."""
        self.memory, self.segments = self.memory[sentences], self.segments[sentences]
        self.prefixes = self.prefixes[sentences]


def made_plain(translator: Translator) -> Translator:
    """A translator, made to take the plain way."""

    def first_step(model: DecodingModel, src_tokens: Tensor, is_real: Tensor, max_length: int) -> StepFunction:
        return PlainStep(model, model.transformer.encode(src_tokens, is_real.long()), is_real.long())

    translator.is_packed = False
    translator._first_step = first_step  # type: ignore[method-assign]
    return translator


class Numbers:
    """Stands for a tokenizer where texts are piece ids."""

    pad_id, unk_id, bos_id, eos_id = range(4)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers in texts."""
        return [[int(word) for word in text.split()] for text in texts]

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of numbers."""
        return [" ".join(map(str, row)) for row in ids]


def untrained(settings: dict[str, Any]) -> Translator:
    """A model of the size of the tables in `docs/performance.md`, with random weights."""
    torch.manual_seed(1)
    sizes = dict(num_encoder_layers=3, num_decoder_layers=3, d_model=256, ffn_dim=1024, num_heads=4)
    config = ModelConfig(preset="transformer_tiny", **sizes)  # type: ignore[arg-type]
    model = build_transformer(
        config, src_vocab_size=VOCAB_SIZE, tgt_vocab_size=VOCAB_SIZE, max_positions=256, pad_id=Numbers.pad_id
    )
    tokenizers: Any = SimpleNamespace(src=Numbers(), tgt=Numbers())
    decoding = DecodingConfig(**{key.removeprefix("decoding."): value for key, value in settings.items()})
    return build_translator(decoding, model=model, tokenizers=tokenizers, device=torch.device("cpu"), seed=1)


def random_lines(number: int) -> list[str]:
    """Lines of 5 to 25 pieces."""
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(5, 26, (number,), generator=generator).tolist()
    return [" ".join(map(str, torch.randint(4, VOCAB_SIZE, (n,), generator=generator).tolist())) for n in lengths]


def timed(action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - clock, time.process_time() - processor


def print_top_k(rows: int, repeats: int) -> None:
    """A step's selection from the continuations of five beams."""
    table = torch.randn(rows, 5 * VOCAB_SIZE)
    ways: dict[str, Callable[[], Any]] = {"torch.topk": lambda: table.topk(5), "by blocks": lambda: top_k(table, 5)}
    for name, way in ways.items():
        seconds = statistics.median(timed(way)[1] for _ in range(repeats))
        print(f"{name:<12} {seconds / rows * 1e6:8.1f} us a sentence")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="run folder; by default an untrained model")
    parser.add_argument("--input", help="text to translate, plain or .gz")
    parser.add_argument("--reference", help="its translation, for BLEU")
    parser.add_argument("--checkpoint", default="best")
    for name, default in (("sentences", 200), ("plain", 50), ("beam-size", 5), ("threads", 1), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)

    def translator(precision: str) -> Translator:
        settings = {"decoding.strategy": "beam", "decoding.beam_size": options.beam_size}
        settings["decoding.precision"] = precision
        if options.run is None:
            return untrained(settings)
        settings |= {"runtime.device": "cpu", "runtime.threads": options.threads}
        config = config_of_run(options.run, [f"{key}={value}" for key, value in settings.items()])
        return open_run(options.run, config, checkpoint=options.checkpoint).translator

    ways = {precision: translator(precision) for precision in WAYS}
    plain = made_plain(translator("fp32"))
    lines = _lines(options.input, options.sentences) if options.input else random_lines(options.sentences)
    print(f"torch {torch.__version__}, {options.threads} threads, {len(lines)} sentences, commit {commit()}")
    print_top_k(rows=50, repeats=options.repeats)

    expected: list[list[Translation]] = []
    found: dict[str, list[list[Translation]]] = {}
    number = min(options.plain, len(lines))
    seconds = {"plain": [timed(lambda: expected.extend(plain.translate(lines[:number])))]}
    for _ in range(options.repeats):
        for name, way in ways.items():
            measured = timed(lambda name=name, way=way: found.update({name: way.translate(lines)}))  # type: ignore[misc]
            seconds.setdefault(name, []).append(measured)

    for name, times in seconds.items():
        done = number if name == "plain" else len(lines)
        by_clock, by_processor = (done / statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:<6} {by_clock:8.1f} sentences/s {by_processor:8.1f} a processor second", end="")
        if name in found:
            same = sum(a[0].text == b[0].text for a, b in zip(expected, found[name], strict=False))
            print(f"  {same / number:6.1%} as the plain way", end="")
            if options.reference:
                print(f"  BLEU {_bleu(found[name], _lines(options.reference, options.sentences)):.2f}", end="")
        print()


def _lines(path: str, number: int) -> list[str]:
    return [line.decode() for line in TextFile(path).lines()][:number]


def _bleu(found: list[list[Translation]], references: list[str]) -> float:
    import sacrebleu

    score: float = sacrebleu.corpus_bleu([row[0].text for row in found], [references]).score
    return score


if __name__ == "__main__":
    main()
