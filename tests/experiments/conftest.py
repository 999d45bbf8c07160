"""Small texts in the place of the published ones."""

import hashlib
import io
import lzma
import tarfile

import numpy as np
import pytest

from experiments.common import text


def tiny_sentences(count, seed):
    """Lines of a label and a sentence that says it by one of its words."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        label = int(rng.integers(2))
        words = [*rng.choice(["the", "film", "is", "a", ","], rng.integers(2, 6)), ("bad", "good")[label]]
        lines.append((label, " ".join(rng.permutation(words))))
    return lines


@pytest.fixture(scope="session")
def tiny_texts(tmp_path_factory):
    """A folder with texts in the form of the published ones; JAXDROP_DATA names it."""
    folder = tmp_path_factory.mktemp("texts")
    phrases = tiny_sentences(256, 0)
    contents = {
        "shakespeare": "to be, or not. " * 400,
        "ptb train": " the cat <unk> \n the dog sat \n" * 5,
        "ptb validation": " the dog \n",
        "ptb test": " cat \n sat \n",
        "sst2 phrases": "sentence\tlabel\n" + "".join(f"{words} \t{label}\n" for label, words in phrases),
        **{
            f"sst2 {part}": "".join(f"{label} {words}\n" for label, words in tiny_sentences(count, count))
            for part, count in (("sentences", 64), ("validation", 40), ("test", 50))
        },
    }
    archives: dict[str, list[tuple[str, bytes]]] = {}
    patch = pytest.MonkeyPatch()
    for name, (url, _, archive, member) in text.FILES.items():
        content = contents[name].encode()
        archives.setdefault(archive, []).append((member, content))
        patch.setitem(text.FILES, name, (url, hashlib.sha256(content).hexdigest(), archive, member))
    for archive, members in archives.items():
        path = folder / archive
        path.parent.mkdir(exist_ok=True)
        if members[0][0]:
            with tarfile.open(path, "w:xz") as file:
                for member, content in members:
                    entry = tarfile.TarInfo(member)
                    entry.size = len(content)
                    file.addfile(entry, io.BytesIO(content))
        else:
            path.write_bytes(lzma.compress(members[0][1]))
    patch.setenv("JAXDROP_DATA", str(folder))
    yield folder
    patch.undo()
