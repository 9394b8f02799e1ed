"""What can be counted in the responses themselves: diversity."""

from collections import Counter
from collections.abc import Iterator, Sequence


def distinct_n(texts: Sequence[str], n: int = 2) -> float | None:
    """Different n-grams of words over all n-grams, all texts together.

    Li et al. 2016 (arXiv:1510.03055). It falls as the corpus grows, whatever the policy: compare
    equal numbers of texts only. None where no text has n words.
    """
    grams = Counter(gram for text in texts for gram in _ngrams(text, n))
    return len(grams) / grams.total() if grams else None


def _ngrams(text: str, n: int) -> Iterator[tuple[str, ...]]:
    words = text.lower().split()
    return zip(*(words[i:] for i in range(n)), strict=False)
