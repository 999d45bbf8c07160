"""Names by which linen's cache of compiled programs tells apart what intercepts calls."""

import functools
import itertools

from jaxdrop.inference.sampler import Static

_NUMBERS = itertools.count()


@functools.lru_cache
def name(*what: Static) -> str:
    """A name for an RNG stream that nobody reads, and that nothing else has had.

    `nn.jit` compares names of streams, but not what intercepts, and would take the program that it made under another
    interceptor, or none.
    """
    del what  # which the cache compares
    return f"jaxdrop.{next(_NUMBERS)}"
