"""The weights of a trained run as a file that every peer's runner can read: NumPy arrays under mt_trainer's names.

For the peers of the decoding benchmark only. A model fits that has sinusoidal positions, ReLU and one embedding for
source, target and output; its norms may stand before or after the blocks, as the peer has them.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def export_weights(run_folder: Path, file: Path) -> None:
    """Writes the weights of the best checkpoint, and the table of positions that goes with them.

    Raises:
        ValueError: when the model has a part that the peers do not have.
    """
    from mt_trainer.model.positions import sinusoidal_table
    from mt_trainer.training.loading import load_run

    run = load_run(run_folder)
    model = run.config.model
    if (model.positions, model.activation, model.share_embeddings) != ("sinusoidal", "relu", "all"):
        raise ValueError("the peers take sinusoidal positions, relu and share_embeddings: all")
    if model.num_encoder_layers != model.num_decoder_layers:
        raise ValueError("the peers are told one number of layers")
    arrays = {name: tensor.numpy() for name, tensor in run.model.state_dict().items()}
    arrays["positions"] = sinusoidal_table(run.model.max_positions, model.d_model).numpy()
    np.savez(file, **arrays)


class Weights:
    """The arrays by name, and what follows from them."""

    def __init__(self, file: str) -> None:
        with np.load(file) as arrays:
            self._arrays: dict[str, Array] = dict(arrays)

    def __getitem__(self, name: str) -> Array:
        """One of them."""
        return self._arrays[name]

    @property
    def is_pre_norm(self) -> bool:
        """Whether norms stand before the blocks."""
        return "encoder_norm.weight" in self._arrays

    @property
    def embedding(self) -> Array:
        """[V, D], of source, target and output."""
        return self._arrays["tgt_embedding.weight"]

    def linear(self, name: str) -> tuple[Array, Array]:
        """Weight [out, in] and bias [out] of a linear map, or of a norm."""
        return self._arrays[f"{name}.weight"], self._arrays[f"{name}.bias"]

    def stacked(self, name: str, number: int) -> list[tuple[Array, Array]]:
        """The same of maps that stand one below the other in one matrix."""
        weight, bias = self.linear(name)
        return list(zip(np.split(weight, number), np.split(bias, number), strict=True))
