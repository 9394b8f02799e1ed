"""The testbed's language: a byte-level BPE and a tiny Llama pretrained on review sentences."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import cast

import numpy as np
import torch
from safetensors.torch import save_file
from testbed_data import REVIEWS, TESTBED, Sentence, in_split, note, review_texts
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast as FastTokenizer

from prefloop.testbed.classifier import WORD

PAD, BOS, EOS = 0, 1, 2
EPOCHS = 3.46


@dataclass(frozen=True)
class Pretraining:
    """The language model's size and its training; the card records it."""

    hidden: int = 224
    layers: int = 4
    heads: int = 7
    feed_forward: int = 640
    vocabulary: int = 4096
    least_count: int = 2
    most_words: int = 40
    polish_least_count: int = 5
    polish_most_words: int = 24
    batch_tokens: int = 2048
    muon: float = 0.02
    adamw: float = 5e-3
    seed: int = 7
    polish_seed: int = 8


DEFAULT = Pretraining()


def training_rows(rows: Sequence[Sentence], least_count: int, most_words: int) -> list[Sentence]:
    """Review sentences of the train split that are short enough and free of rare words."""
    train = [row for row in rows if row.split == "train" and not row.is_dev]
    seen = Counter(word for row in train for word in WORD.findall(row.text))
    return [
        row
        for row in train
        if row.source in REVIEWS
        and len(row.text.split()) <= most_words
        and all(seen[word] >= least_count for word in WORD.findall(row.text))
    ]


def pretraining_texts(rows: Sequence[Sentence], how: Pretraining) -> list[str]:
    """What the tokenizer and the first, long stage are trained on."""
    return [row.text for row in training_rows(rows, how.least_count, how.most_words)]


def polishing_texts(rows: Sequence[Sentence], how: Pretraining) -> list[str]:
    """Whole, short sentences of frequent words; those of short reviews and quotes twice."""
    return [
        row.text
        for row in training_rows(rows, how.polish_least_count, how.polish_most_words)
        if row.text.endswith((".", "!", "?")) and len(row.text.split()) >= 4
        for _ in range(1 if row.source == "movie_reviews" else 2)
    ]


def make_tokenizer(rows: Sequence[Sentence], how: Pretraining = DEFAULT) -> None:
    """Train the BPE and save it. Every word carries its leading space, the first one too."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=how.vocabulary,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(pretraining_texts(rows, how), trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", BOS)]
    )
    tokenizer = FastTokenizer(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.save_pretrained(TESTBED / "model")
    note("tokenizer", {"vocabulary": len(tokenizer)})


def load_tokenizer() -> FastTokenizer:
    """The tokenizer as shipped."""
    return cast(FastTokenizer, FastTokenizer.from_pretrained(TESTBED / "model"))


def encode(texts: Sequence[str]) -> list[list[int]]:
    """`<s> … </s>`, as the model is trained on them."""
    ids = load_tokenizer()(list(texts))["input_ids"]
    return [[*row, EOS] for row in cast(list[list[int]], ids)]


def new_model(how: Pretraining) -> LlamaForCausalLM:
    """An untrained model; the seed is the caller's business."""
    config = LlamaConfig(
        vocab_size=how.vocabulary,
        hidden_size=how.hidden,
        num_hidden_layers=how.layers,
        num_attention_heads=how.heads,
        num_key_value_heads=how.heads,
        intermediate_size=how.feed_forward,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return LlamaForCausalLM(config)


def batches(
    rows: Sequence[Sequence[int]], tokens: int, rng: np.random.Generator
) -> list[torch.Tensor]:
    """One epoch of right-padded batches of similar lengths, at most `tokens` tokens each."""
    order = np.argsort([len(row) + 2 * rng.random() for row in rows])
    groups: list[list[int]] = [[]]
    for i in order:
        if (len(groups[-1]) + 1) * len(rows[i]) > tokens:
            groups.append([])
        groups[-1].append(int(i))
    return [padded([rows[i] for i in groups[j]]) for j in rng.permutation(len(groups))]


def padded(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Right padding needs no mask under causal attention; the loss leaves PAD targets out."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])


def token_losses(model: LlamaForCausalLM, batch: torch.Tensor) -> torch.Tensor:
    """−log p of every real token after `<s>`, in float32."""
    targets = batch[:, 1:]
    counts = targets != PAD
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(input_ids=batch[:, :-1]).last_hidden_state
        logits = model.lm_head(hidden[counts])
    return cross_entropy(logits.float(), targets[counts], reduction="none")


@torch.no_grad()
def mean_loss(model: LlamaForCausalLM, texts: Sequence[str]) -> float:
    """Nats per token (`</s>` included) over the texts."""
    model.eval()
    rng = np.random.default_rng(0)
    losses = [token_losses(model, batch) for batch in batches(encode(texts), 4096, rng)]
    model.train()
    return float(torch.cat(losses).mean())


def optimizers(model: LlamaForCausalLM, how: Pretraining) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for embeddings and norms."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in named if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=how.muon),
        torch.optim.AdamW(rest, lr=how.adamw, betas=(0.9, 0.95), weight_decay=0.01),
    ]


def rate(epoch: float) -> float:
    """Learning-rate factor: warm-up, plateau, slow linear decay, quick linear decay to zero."""
    return min(1.0, epoch / 0.12 + 0.01, (4.0 - epoch) / 2.4, (EPOCHS - epoch) / 0.78)


def stream(rows: Sequence[Sequence[int]], how: Pretraining) -> Iterator[tuple[float, torch.Tensor]]:
    """Batches with the number of epochs done before each."""
    rng = np.random.default_rng(how.seed)
    for whole in range(math.ceil(EPOCHS)):
        epoch = batches(rows, how.batch_tokens, rng)
        for i, batch in enumerate(epoch[: round((EPOCHS - whole) * len(epoch))]):
            yield whole + i / len(epoch), batch


def train_step(
    model: LlamaForCausalLM,
    steps: Sequence[torch.optim.Optimizer],
    batch: torch.Tensor,
    factor: float,
) -> float:
    """One update at `factor` times the optimizers' own rates; returns the batch's mean loss."""
    loss = token_losses(model, batch).mean()
    torch.autograd.backward(loss)
    for step in steps:
        for group in step.param_groups:
            group["lr"] = factor * group.setdefault("peak_lr", group["lr"])
        step.step()
        step.zero_grad()
    return float(loss.detach())


@dataclass
class Best:
    """The weights that did best on the dev slice so far."""

    loss: float = math.inf
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def offer(self, loss: float, model: LlamaForCausalLM) -> None:
        """Keep a copy of the model's weights if they are the best yet."""
        if loss < self.loss:
            self.loss = loss
            self.weights = {name: w.clone() for name, w in model.state_dict().items()}


def pretrain(texts: Sequence[str], dev: Sequence[str], how: Pretraining) -> LlamaForCausalLM:
    """A model trained on the texts, with the weights that were best on `dev`."""
    torch.manual_seed(how.seed)
    model, best, check = new_model(how), Best(), 2.0
    steps, recent, started = optimizers(model, how), [], time.perf_counter()
    for epoch, batch in stream(encode(texts), how):
        recent.append(train_step(model, steps, batch, rate(epoch)))
        if epoch >= check:
            best.offer(mean_loss(model, dev), model)
            seconds = time.perf_counter() - started
            print(f"{epoch:.2f} epochs {seconds:.0f}s {np.mean(recent):.3f}", flush=True)
            recent, check = [], check + 0.4
    best.offer(mean_loss(model, dev), model)
    model.load_state_dict(best.weights)
    return model


def polish(model: LlamaForCausalLM, texts: Sequence[str], how: Pretraining) -> None:
    """One pass at a quarter of the rate, falling to zero: samples get shorter and cleaner."""
    rng, steps = np.random.default_rng(how.polish_seed), optimizers(model, how)
    epoch = batches(encode(texts), how.batch_tokens, rng)
    for i, batch in enumerate(epoch):
        done = i / len(epoch)
        train_step(model, steps, batch, 0.25 * min(1.0, done / 0.05 + 0.02) * (1.0 - done))


def save(model: LlamaForCausalLM) -> None:
    """Half precision on disk, float32 in the config: a plain load gives a trainable model."""
    model.save_pretrained(TESTBED / "model")
    weights = {name: w.half() for name, w in model.state_dict().items() if "lm_head" not in name}
    path = TESTBED / "model/model.safetensors"
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)


def load_model() -> LlamaForCausalLM:
    """The model as shipped."""
    model = AutoModelForCausalLM.from_pretrained(TESTBED / "model", dtype=torch.float32)
    return cast(LlamaForCausalLM, model)


def make_model(rows: Sequence[Sentence], how: Pretraining = DEFAULT) -> None:
    """Pretrain, polish, save, and measure the saved file."""
    model = pretrain(pretraining_texts(rows, how), review_texts(rows, lambda r: r.is_dev), how)
    polish(model, polishing_texts(rows, how), how)
    save(model)
    measure_model(rows, how)


def measure_model(rows: Sequence[Sentence], how: Pretraining = DEFAULT) -> None:
    """Note the shipped model's size and its perplexity on the splits that training never saw."""
    texts, model = pretraining_texts(rows, how), load_model()
    facts = {
        "epochs": EPOCHS,
        "sentences": len(texts),
        "tokens": sum(len(row) - 1 for row in encode(texts)),
        "polished_on": len(polishing_texts(rows, how)),
        "parameters": model.num_parameters(),
    }
    perplexity = {
        split: round(math.exp(mean_loss(model, review_texts(rows, in_split(split)))), 2)
        for split in ("valid", "test")
    }
    note("model", asdict(how) | facts | perplexity)
