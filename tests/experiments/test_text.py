"""Texts: split in fixed ways, as numbers, and refused by name when they are not the published ones."""

import shutil

import numpy as np
import pooch
import pytest

from experiments.common import text
from experiments.common.errors import RefusedError


def test_shakespeare_is_split_in_order_into_characters(tiny_texts):
    language = text.language("shakespeare")
    assert [len(part) for part in language[:3]] == [5400, 300, 300]
    whole = "".join(language.vocabulary[symbol] for part in language[:3] for symbol in part)
    assert whole == "to be, or not. " * 400
    assert language.train.dtype == np.int32


def test_lines_of_the_treebank_end_in_a_symbol(tiny_texts):
    language = text.language("ptb")
    assert [language.vocabulary[symbol] for symbol in language.train[:8]] == (
        ["the", "cat", "<unk>", "<eos>", "the", "dog", "sat", "<eos>"]
    )
    assert [language.vocabulary[symbol] for symbol in language.test] == ["cat", "<eos>", "sat", "<eos>"]
    assert len(language.validation) == 3


def test_sentences_are_padded_cut_and_limited_to_frequent_words(tiny_texts):
    whole, small = text.sst2(8, 100), text.sst2(3, 6)
    assert [len(part.labels) for part in whole[:4]] == [256, 64, 40, 50]
    assert whole.vocabulary[:2] == ("<padding>", "<unknown>")
    assert set(whole.vocabulary[2:]) == {"the", "film", "is", "a", ",", "good", "bad"}
    assert small.vocabulary == whole.vocabulary[:6]
    for sentences, short in zip(whole[:4], small[:4], strict=True):
        for tokens, cut, label in zip(sentences.tokens, short.tokens, sentences.labels, strict=True):
            words = [whole.vocabulary[token] for token in tokens]
            length = words.index("<padding>")
            assert ("bad", "good")[label] in words[:length]
            assert set(words[length:]) == {"<padding>"}
            np.testing.assert_array_equal(cut, np.where(tokens < 6, tokens, text.UNKNOWN)[:3])


@pytest.mark.parametrize("content", [b"not an archive", None])
def test_refuses_a_damaged_or_absent_archive_by_name(tiny_texts, tmp_path, monkeypatch, content):
    shutil.copytree(tiny_texts, tmp_path / "copy")
    monkeypatch.setenv("JAXDROP_DATA", str(tmp_path / "copy"))
    for archive, load in (("text/tinyshakespeare.txt.xz", "shakespeare"), ("ptb/ptb.tar.xz", "ptb")):
        path = tmp_path / "copy" / archive
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(RefusedError, match=f"{path} is damaged" if content else f"there is no file {path}"):
            text.language(load)


def test_refuses_another_text_than_the_published_one(tiny_texts, monkeypatch):
    url, _, archive, member = text.FILES["ptb test"]
    monkeypatch.setitem(text.FILES, "ptb test", (url, "0" * 64, archive, member))
    with pytest.raises(RefusedError, match=r"damaged: the sha256 sum of ptb\.test\.txt is not 0000"):
        text.language("ptb")


def test_downloads_from_the_publisher_with_the_checksum(tiny_texts, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("to be, or not. " * 400)
    asked = []

    def retrieve(url, checksum, path):
        asked.append((url, checksum))
        return tmp_path / "file"

    monkeypatch.delenv("JAXDROP_DATA")
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(text.language("shakespeare").train) == 5400
    url, checksum, _, _ = text.FILES["shakespeare"]
    assert asked == [(url, f"sha256:{checksum}")]

    def refuse(*args, **kwargs):
        raise ValueError("hash does not match")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(RefusedError, match=f"{url} could not be downloaded intact: hash"):
        text.language("shakespeare")


def test_refuses_unknown_names():
    with pytest.raises(ValueError, match="got 'wikitext'"):
        text.language("wikitext")
