"""The translator around the searches: order, blank lines, batches, limits, settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest
import torch

from mt_trainer.config.evaluation import DecodingConfig
from mt_trainer.config.model import ModelConfig
from mt_trainer.decoding.translate import Translator, build_translator
from mt_trainer.model.build import build_transformer
from mt_trainer.tokenizer import TokenizerPair

LETTERS = "abcdefghijklmnop"


@dataclass(frozen=True)
class LetterTokenizer:
    """One piece a letter; white space is dropped."""

    pad_id: int = 0
    unk_id: int = 1
    bos_id: int = 2
    eos_id: int = 3

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [[4 + LETTERS.index(c) for c in text if not c.isspace()] for text in texts]

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        return ["".join("?" if i == self.unk_id else LETTERS[i - 4] for i in row) for row in ids]


def translator(max_positions: int = 40, **settings: Any) -> Translator:
    torch.manual_seed(3)
    config = ModelConfig(
        preset="transformer_tiny", num_encoder_layers=1, num_decoder_layers=1, d_model=16, ffn_dim=16, num_heads=2
    )
    size = 4 + len(LETTERS)
    model = build_transformer(config, src_vocab_size=size, tgt_vocab_size=size, max_positions=max_positions, pad_id=0)
    with torch.no_grad():
        model.output_weight *= 4  # a random model with opinions
    letters = LetterTokenizer()
    tokenizers = cast(TokenizerPair, type("Pair", (), {"src": letters, "tgt": letters}))
    return build_translator(
        DecodingConfig(**settings), model=model, tokenizers=tokenizers, device=torch.device("cpu"), seed=5
    )


TEXTS = ["abc", "", "p", "fedcba fedcba", "  ", "hijk", "aaaaaaaaa", "abc"]


@pytest.mark.parametrize("strategy", ["beam", "greedy", "sampling"])
def test_order_blank_lines_and_batches_of_any_size(strategy: str) -> None:
    whole = translator(strategy=strategy, batch_tokens=100_000).translate(TEXTS)
    singly = translator(strategy=strategy, batch_tokens=1).translate(TEXTS)
    assert [[t.tokens for t in row] for row in whole] == [[t.tokens for t in row] for row in singly]
    assert [row[0].text for row in whole][1] == [row[0].text for row in whole][4] == ""
    assert all(row[0].text for i, row in enumerate(whole) if i not in (1, 4))
    if strategy != "sampling":
        assert whole[0] == whole[7]  # the same text at two places
    for row, text in zip(whole, TEXTS, strict=True):
        [alone] = translator(strategy=strategy).translate([text], first_id=TEXTS.index(text))
        if strategy != "sampling" or text != "abc":
            assert alone[0].text == row[0].text


def test_the_longest_output_is_ratio_times_source_plus_constant() -> None:
    # 5 letters and the end mark: 0.5 * 6 + 2 = 5 tokens, the last of which is the end mark.
    [[translation]] = translator(max_length_ratio=0.5, max_length_constant=2, strategy="greedy").translate(["abcde"])
    assert len(translation.tokens) == 4
    # never more than the model has positions
    [[translation]] = translator(max_positions=9, max_length_ratio=5.0, strategy="greedy").translate(["abcde"])
    assert len(translation.tokens) <= 8


def test_a_source_longer_than_the_model_is_cut_and_marked() -> None:
    [[cut], [whole]] = translator(max_positions=9).translate(["abcdefghijkl", "abcdefgh"])
    assert cut.source_was_cut
    assert not whole.source_was_cut
    assert cut.text == whole.text


def test_n_best_and_scores() -> None:
    [row] = translator(n_best=4, beam_size=4, length_penalty=0.0).translate(["abc"])
    assert len(row) == 4
    assert len({t.text for t in row}) == 4
    assert [t.score for t in row] == sorted((t.score for t in row), reverse=True)
    assert all(t.score == t.log_prob < 0 for t in row)


def test_the_model_is_left_in_the_mode_it_was_in() -> None:
    machine = translator()
    for training in (True, False):
        machine.model.train(training)
        first = machine.translate(["abc"])
        assert machine.model.training is training
        assert first == machine.translate(["abc"])  # no dropout while translating


def test_nothing_to_translate() -> None:
    assert translator().translate([]) == []
    assert [t.text for [t] in translator().translate(["", ""])] == ["", ""]


def test_batches_are_bounded_in_tokens_and_in_beams(monkeypatch: pytest.MonkeyPatch) -> None:
    # With the end mark 3 + 1 and 1 + 1 source tokens; two beams each.
    machine = translator(beam_size=2, batch_tokens=20)
    lengths = [3, 1, 3, 0, 3, 1, 1, 1, 1]
    assert list(machine._batches(lengths)) == [[0, 2], [4, 1], [5, 6, 7, 8]]
    monkeypatch.setattr("mt_trainer.decoding.translate.MAX_ROWS", 6)
    assert list(machine._batches(lengths)) == [[0, 2], [4, 1], [5, 6, 7], [8]]
    monkeypatch.setattr("mt_trainer.decoding.translate.MAX_ROWS", 1)
    assert list(machine._batches([1, 1])) == [[0], [1]]
