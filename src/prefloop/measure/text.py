"""What can be counted in the responses themselves: diversity, repetition, length in words."""

from collections import Counter
from collections.abc import Iterator, Sequence


def distinct_n(texts: Sequence[str], n: int = 2) -> float | None:
    """Different n-grams of words over all n-grams, all texts together.

    Li et al. 2016 (arXiv:1510.03055). It falls as the corpus grows, whatever the policy: compare
    equal numbers of texts only. None where no text has n words.
    """
    grams = Counter(gram for text in texts for gram in _ngrams(text, n))
    return len(grams) / grams.total() if grams else None


def repeated_n(texts: Sequence[str], n: int = 3) -> float | None:
    """Mean share of a text's n-grams that it has said before; None where no text has n words.

    Unlike `distinct_n` it does not depend on how many texts there are.
    """
    shares = [1 - len(set(grams)) / len(grams) for t in texts if (grams := list(_ngrams(t, n)))]
    return sum(shares) / len(shares) if shares else None


def duplicate_share(texts: Sequence[str]) -> float | None:
    """Share of texts that an earlier one already said, word for word; None without texts."""
    return 1 - len({" ".join(t.split()) for t in texts}) / len(texts) if texts else None


def mean_words(texts: Sequence[str]) -> float | None:
    """Words per text, on average; None without texts."""
    return sum(len(text.split()) for text in texts) / len(texts) if texts else None


def empty_share(texts: Sequence[str]) -> float | None:
    """Share of texts with nothing but white space; None without texts."""
    return sum(not text.strip() for text in texts) / len(texts) if texts else None


def _ngrams(text: str, n: int) -> Iterator[tuple[str, ...]]:
    words = text.lower().split()
    return zip(*(words[i:] for i in range(n)), strict=False)
