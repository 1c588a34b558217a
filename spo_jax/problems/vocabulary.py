"""A checkpoint's tokenizer as a seqio vocabulary."""

from collections.abc import Iterable, Sequence

import numpy as np
import seqio
import tensorflow as tf

from spo_jax.tokenizers import Tokenizer


class TokenizerVocabulary(seqio.Vocabulary):
    """Wraps a `Tokenizer`; end-of-sequence is the token that ends a turn of the chat."""

    def __init__(self, tokenizer: Tokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    @property
    def bos_id(self) -> int | None:
        return self.tokenizer.bos_id

    @property
    def eos_id(self) -> int:
        return self.tokenizer.eos_ids[0]

    @property
    def pad_id(self) -> int:
        return self.tokenizer.pad_id

    @property
    def unk_id(self) -> int | None:
        return self.tokenizer.unk_id

    @property
    def _base_vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    def _encode(self, s: str) -> Sequence[int]:
        return self.tokenizer.encode(s)

    def _decode(self, ids: Iterable[int]) -> str:
        return self.tokenizer.decode(ids)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        """int32 [T] of a scalar string."""
        ids = tf.numpy_function(self._encode_bytes, [s], tf.int32, stateful=False)
        return tf.ensure_shape(ids, [None])

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        """Strings of int32 [..., T], one per row."""
        text = tf.numpy_function(self._decode_array, [ids], tf.string, stateful=False)
        return tf.ensure_shape(text, ids.shape[:-1])

    def _encode_bytes(self, text: bytes | np.ndarray) -> np.ndarray:
        content: bytes = np.array(text, dtype=object).item()  # TensorFlow passes an array if eager
        return np.asarray(self.tokenizer.encode(content.decode("utf-8")), np.int32)

    def _decode_array(self, ids: np.ndarray) -> np.ndarray:
        rows = ids.reshape(-1, ids.shape[-1])
        texts = [self.tokenizer.decode(row).encode("utf-8") for row in rows]
        return np.array(texts, dtype=object).reshape(ids.shape[:-1])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TokenizerVocabulary) and self.tokenizer.hash == other.tokenizer.hash
        )

    def __hash__(self) -> int:
        return hash(self.tokenizer.hash)
