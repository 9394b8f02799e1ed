"""Ways to learn a reward from preferences: each tries six settings and keeps one."""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from scipy.sparse import csr_matrix, hstack, issparse, vstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from prefloop import plugins
from prefloop.config import Config
from prefloop.learn.reward import RewardLearner
from prefloop.models.reward import RewardModel
from prefloop.rewarding.heads import logistic, unique
from prefloop.rewarding.scores import encoded
from prefloop.types import Preference, Prompt, Response

Rows = Sequence[Preference]
Gaps = Callable[[Rows], Any]
"""pairs to differences in features, a row each"""
_NOTHING = Prompt(text="")
RIDGES = (0.1, 0.5, 2.0, 8.0, 32.0, 128.0)


class Method(Protocol):
    name: str
    quarters: int
    """on how many quarters of the prompts its settings are tried"""

    def tries(self, learned: Rows, asked: Rows) -> Mapping[Any, np.ndarray]:
        """Margins of the asked pairs under each of the settings."""
        ...

    def margins(self, learned: Rows, asked: Rows, choice: Any) -> np.ndarray:
        """Under the one that was chosen."""
        ...


@dataclass
class Linear:
    """Logistic regression on differences of features, fitted to what is learned from."""

    name: str
    features: Callable[[Rows], Gaps]
    settings: Sequence[float] = RIDGES
    quarters: int = 4

    def tries(self, learned: Rows, asked: Rows) -> Mapping[float, np.ndarray]:
        gaps = self.features(learned)
        x, y, p = gaps(learned), gaps(asked), _labels(learned)
        fit = _sparse if issparse(x) else logistic
        return {ridge: y @ fit(x, p, ridge) for ridge in self.settings}

    def margins(self, learned: Rows, asked: Rows, choice: float) -> np.ndarray:
        return replace(self, settings=(choice,)).tries(learned, asked)[choice]


@dataclass
class Longer:
    """Whoever says more is right; nothing is learned."""

    name: str = "the longer response"
    quarters: int = 1

    def tries(self, learned: Rows, asked: Rows) -> Mapping[int, np.ndarray]:
        return {0: np.array([float(len(p.query.a.text) - len(p.query.b.text)) for p in asked])}

    def margins(self, learned: Rows, asked: Rows, choice: int) -> np.ndarray:
        return self.tries(learned, asked)[0]


def surface(learned: Rows) -> Gaps:
    """Differences of what a text looks like."""

    def one(text: str) -> list[float]:
        words = re.findall(r"\w+", text.lower())
        marks = [text.count(mark) for mark in ("?", "!", ",", ".", "\n", '"', ":")]
        digits = sum(c.isdigit() for c in text)
        spread = len(set(words)) / max(1, len(words))
        first = [float(bool(words) and words[0] in w) for w in ({"i"}, {"yes", "no"}, {"what"})]
        return [np.log1p(len(text)), len(words), digits, spread, *np.log1p(marks), *first]

    def gaps(rows: Rows) -> np.ndarray:
        pairs = [(one(p.query.a.text), one(p.query.b.text)) for p in rows]
        return np.array([np.subtract(a, b) for a, b in pairs])

    scale = gaps(learned).std(0) + 1e-9
    return lambda rows: gaps(rows) / scale


def tfidf(learned: Rows) -> Gaps:
    """Differences of tf-idf weights of words and pairs of words that three responses have."""
    counter = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True)
    counter.fit([r.text for r in unique(learned)])

    def gaps(rows: Rows) -> Any:
        a, b = (counter.transform([getattr(p.query, side).text for p in rows]) for side in "ab")
        return csr_matrix(a - b)

    return gaps


def tfidf_and_surface(learned: Rows) -> Gaps:
    """Both; a standard deviation of a surface feature is worth a tenth of a text's words."""
    words, looks = tfidf(learned), surface(learned)
    return lambda rows: csr_matrix(hstack([words(rows), 0.1 * looks(rows)]))


@dataclass
class Embedded:
    """What MiniLM makes of responses and of the last turn of their prompts, once for all."""

    cache: Path | None = None
    known: dict[str, np.ndarray] = field(default_factory=dict)

    def learn(self, texts: Sequence[str]) -> None:
        """Embed whatever is not known yet."""
        if self.cache and self.cache.exists() and not self.known:
            stored = np.load(self.cache, allow_pickle=True)
            self.known = dict(zip(stored["texts"].tolist(), stored["states"], strict=True))
        new = [t for t in dict.fromkeys(texts) if t not in self.known]
        if new:
            from prefloop.features.minilm import Minilm

            part = Minilm(of="response", max_tokens=128, device="cpu", tokens=2048)
            empty = [Response(prompt=_NOTHING, text=text) for text in new]
            self.known |= dict(zip(new, part.features(empty), strict=True))
        if new and self.cache:
            texts, states = list(self.known), np.array(list(self.known.values()))
            np.savez(self.cache, texts=np.array(texts, object), states=states)

    def responses(self, _: Rows) -> Gaps:
        """Differences of the responses' embeddings."""
        return lambda rows: np.array(
            [self.known[p.query.a.text] - self.known[p.query.b.text] for p in rows]
        )

    def crossed(self, _: Rows) -> Gaps:
        """Those, their products with the prompt's, and their cosines with it."""

        def gaps(rows: Rows) -> np.ndarray:
            gap = self.responses(rows)(rows)
            prompt = np.array([self.known[last_turn(p)] for p in rows])
            return np.hstack([gap, gap * prompt, (gap * prompt).sum(1, keepdims=True)])

        return gaps


class Steps:
    """What is trained in epochs, at several rates: on the way to the last, the earlier are met."""

    rates: tuple[float, ...]
    stops: tuple[int, ...]

    def tries(self, learned: Rows, asked: Rows) -> Mapping[Any, np.ndarray]:
        return {
            (rate, epochs): margin
            for rate in self.rates
            for epochs, margin in self._path(learned, asked, rate, self.stops).items()
        }

    def margins(self, learned: Rows, asked: Rows, choice: Any) -> np.ndarray:
        rate, epochs = choice
        return self._path(learned, asked, rate, (epochs,))[epochs]

    def _path(
        self, learned: Rows, asked: Rows, rate: float, stops: Sequence[int]
    ) -> dict[int, np.ndarray]:
        raise NotImplementedError


@dataclass
class Perceptron(Steps):
    """One hidden layer on frozen features, trained on the same loss."""

    name: str
    points: Callable[[Rows], tuple[np.ndarray, np.ndarray]]
    seed: int = 0
    quarters: int = 4

    rates = (1e-4, 3e-4)
    stops = (5, 15, 40)

    def _path(
        self, learned: Rows, asked: Rows, rate: float, stops: Sequence[int]
    ) -> dict[int, np.ndarray]:
        torch.manual_seed(self.seed)
        a, b, x, y = (
            torch.tensor(t, dtype=torch.float32)
            for t in (*self.points(learned), *self.points(asked))
        )
        scale = a.std(0) + 1e-6
        net = torch.nn.Sequential(
            torch.nn.Dropout(0.5),
            torch.nn.Linear(a.shape[1], 64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, 1),
        )
        p, found = torch.tensor(_labels(learned), dtype=torch.float32), {}
        optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.1)
        for epoch in range(1, max(stops) + 1):
            for part in torch.randperm(len(p)).split(64):
                gap = (net(a[part] / scale) - net(b[part] / scale))[:, 0]
                torch.nn.functional.binary_cross_entropy_with_logits(gap, p[part]).backward()
                optimizer.step()
                optimizer.zero_grad()
            if epoch in stops:
                net.eval()
                with torch.no_grad():
                    found[epoch] = (net(x / scale) - net(y / scale))[:, 0].numpy()
                net.train()
        return found


@dataclass
class Scratch(Steps):
    """A Llama of 2 layers × 128 and its own BPE-2048, both from the texts that are learned from."""

    name: str = "2 × 128 Llama from scratch"
    seed: int = 0
    quarters: int = 1

    rates = (1e-3, 2e-3, 4e-3)
    stops = (1, 2)

    def _path(
        self, learned: Rows, asked: Rows, rate: float, stops: Sequence[int]
    ) -> dict[int, np.ndarray]:
        with tempfile.TemporaryDirectory() as folder:
            _blank(Path(folder), [r.text for r in unique(learned)], self.seed)
            config = Config().override(
                {
                    "model.path": folder,
                    "model.device": "cpu",
                    "model.threads": 1,
                    "data.overflow": "keep_end",
                    "reward.lr": rate,
                    "reward.tokens": 1024,
                    "reward.epochs": max(stops),
                    "reward.weight_decay": 0.1,
                    "reward.precision": "float32",
                    "seed": self.seed,
                }
            )
            model = RewardModel.load(folder, settings=config.model, fresh=1, seed=self.seed)
        rows, _ = encoded([_shortened(p) for p in learned], model, config)
        held, _ = encoded([_shortened(p) for p in asked], model, config)
        loss = plugins.build("losses/reward", "bradley_terry", {})
        learner = RewardLearner(model, loss, config.reward)
        plan = learner.plan(rows, self.seed, 1)
        each, found = len(plan.batches) // max(stops), {}
        for number, _ in enumerate(learner.steps(rows, plan), 1):
            if number % each == 0 and number // each in stops:
                found[number // each] = _margins(model, held)
        return found


def last_turn(row: Preference) -> str:
    """What the answer answers, its last 400 characters."""
    text = row.query.prompt.text
    return text.rpartition("Human:")[2].removesuffix("Assistant:").strip()[-400:] or text[-400:]


def crossed_points(embedded: Embedded) -> Callable[[Rows], tuple[np.ndarray, np.ndarray]]:
    """What a perceptron reads of both responses: each beside its product with the prompt."""

    def one(rows: Rows, side: str) -> np.ndarray:
        said = np.array([embedded.known[getattr(p.query, side).text] for p in rows])
        prompt = np.array([embedded.known[last_turn(p)] for p in rows])
        return np.hstack([said, said * prompt])

    return lambda rows: (one(rows, "a"), one(rows, "b"))


def _sparse(gaps: Any, p: np.ndarray, ridge: float) -> np.ndarray:
    """`logistic`, by scikit-learn: it does not look at the zeros."""
    penalty = len(p) * ridge * float(gaps.multiply(gaps).mean())
    both, label = vstack([gaps, gaps]), np.repeat([1, 0], len(p))
    model = LogisticRegression(C=1 / penalty, fit_intercept=False, max_iter=1000)
    model.fit(both, label, sample_weight=np.concatenate([p, 1 - p]))
    return np.asarray(model.coef_[0])


def _labels(rows: Rows) -> np.ndarray:
    return np.array([p.p for p in rows])


def _shortened(row: Preference) -> Preference:
    """The last turn of the prompt and 500 characters of each response: it must run on a laptop."""
    prompt = replace(row.query.prompt, text=last_turn(row) + "\n", messages=())
    a, b = (replace(r, prompt=prompt, text=r.text[:500]) for r in (row.query.a, row.query.b))
    return replace(row, query=replace(row.query, prompt=prompt, a=a, b=b))


def _margins(model: RewardModel, rows: Rows) -> np.ndarray:
    responses = {r.id: r for p in rows for r in (p.query.a, p.query.b)}
    said: list[float] = []
    with torch.no_grad():
        for start in range(0, len(responses), 256):
            said += model.scores([*responses.values()][start : start + 256])[:, 0].tolist()
    score = dict(zip(responses, said, strict=True))
    return np.array([score[p.query.a.id] - score[p.query.b.id] for p in rows])


def _blank(folder: Path, texts: Sequence[str], seed: int) -> None:
    """An untrained language model and the tokenizer of these texts."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", eos_token="</s>", model_max_length=1024
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=344,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=1024,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
        )
    ).save_pretrained(folder)
