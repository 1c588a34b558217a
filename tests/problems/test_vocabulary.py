import pytest
import seqio
import tensorflow as tf
import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers

from spo_jax.problems.vocabulary import TokenizerVocabulary
from spo_jax.tokenizers import Tokenizer

TEXTS = ["def f(x):\n    return x", "naïve 日本語 😀", ""]


@pytest.fixture(scope="module")
def vocabulary():
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=["<unk>", "<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<end>", unk_token="<unk>"
    )
    return TokenizerVocabulary(Tokenizer(fast))


@pytest.mark.parametrize("text", TEXTS)
def test_python_and_tensorflow_agree(vocabulary, text):
    ids = vocabulary.encode(text)
    ids_tf = vocabulary.encode_tf(tf.constant(text))
    assert ids_tf.dtype == tf.int32
    assert ids_tf.numpy().tolist() == list(ids)
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode_tf(ids_tf).numpy().decode() == text


def test_ids_come_from_the_tokenizer(vocabulary):
    assert vocabulary.vocab_size == vocabulary.tokenizer.vocab_size == 280
    assert (vocabulary.eos_id, vocabulary.unk_id, vocabulary.pad_id) == (1, 0, 0)
    assert vocabulary.bos_id is None


def test_batches_are_decoded_up_to_the_end_token(vocabulary):
    first, second = vocabulary.encode("abc"), vocabulary.encode("xyz")
    ids = tf.constant([[*first, 1, *second], [*second, *second, 1]])
    assert [text.decode() for text in vocabulary.decode_tf(ids).numpy()] == ["abc", "xyzxyz"]
    assert vocabulary.decode([*first, 1, *second]) == "abc"


def test_vocabularies_of_one_tokenizer_are_equal(vocabulary):
    twin = TokenizerVocabulary(vocabulary.tokenizer)
    assert twin == vocabulary
    assert hash(twin) == hash(vocabulary)
    assert vocabulary != seqio.ByteVocabulary()


def test_seqio_preprocesses_with_it(vocabulary):
    features = {"targets": seqio.Feature(vocabulary, add_eos=True)}
    dataset = tf.data.Dataset.from_tensor_slices({"targets": TEXTS})
    dataset = seqio.preprocessors.tokenize(dataset, output_features=features)
    dataset = seqio.preprocessors.append_eos(dataset, output_features=features)
    rows = [row["targets"].tolist() for row in dataset.as_numpy_iterator()]
    assert rows == [[*vocabulary.encode(text), vocabulary.eos_id] for text in TEXTS]
