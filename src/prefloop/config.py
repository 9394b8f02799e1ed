"""A run is described by frozen, validated sections; YAML in and out, dotted overrides."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from prefloop import plugins


class ConfigError(ValueError):
    """A setting that cannot be: says the value, the rule and the remedy."""


class Section(BaseModel):
    """A frozen group of settings that knows no other keys than its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Part(BaseModel):
    """A plug-in by name with its options: `ipo`, or `{name: ipo, beta: 0.2}`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str = ""
    """empty only in a config that its recipe has not completed yet"""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


class Model(Section):
    """Which language model, how it is loaded and what of it is trained."""

    path: str = "testbed"
    """a Hugging Face folder or hub id of a causal LM; `testbed` is the embedded tiny model"""
    device: str = "auto"
    """auto | cpu | cuda | cuda:N | mps"""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """of the parameters; auto is float32 for full fine-tuning and the checkpoint's for adapters"""
    adapter: Literal["none", "lora", "qlora"] = "none"
    """none is full fine-tuning; with lora and qlora the reference is the model with adapters off"""
    lora_rank: int = Field(16, ge=1)
    """inner width of an adapter"""
    lora_alpha: float = Field(32.0, gt=0)
    """an adapter's output is scaled by lora_alpha / lora_rank"""
    lora_targets: str = "all-linear"
    """all-linear, or module names separated by commas"""
    template: Literal["auto", "chat", "plain"] = "auto"
    """auto uses the tokenizer's chat template when it has one, plain text otherwise"""
    max_tokens: int | None = Field(None, ge=2)
    """longest prompt + response; default: the model's context"""
    gradient_checkpointing: bool = False
    trust_remote_code: bool = False
    """runs code that the model's author wrote; off unless you ask"""
    threads: int | None = Field(None, ge=1)
    """OpenMP threads on a CPU; default: OMP_NUM_THREADS, else one per usable core"""


class Data(Section):
    """Where prompts and ready-made preferences come from."""

    prompts: str | None = None
    """JSONL or Parquet with a `prompt` column, plain or conversational; or `testbed`"""
    preferences: str | None = None
    """JSONL or Parquet with TRL's preference columns, or in HH's format"""
    completions: str | None = None
    """JSONL or Parquet with TRL's prompt-completion, unpaired, `text` or `messages` columns"""
    eval_prompts: str | None = None
    """prompts never trained on; default: `eval_fraction` of the prompts are held out"""
    eval_fraction: float = Field(0.1, gt=0, lt=1)
    limit: int | None = Field(None, ge=1)
    """use only the first rows of each file"""
    overflow: Literal["error", "drop", "keep_end"] = "error"
    """a row longer than the context: refuse, leave out, or keep the end of the prompt; counted"""


class Sample(Section):
    """What is drawn each round."""

    prompts: int | None = Field(128, ge=1)
    """prompts a round; None: all of them"""
    sources: dict[
        Literal["policy", "hot", "reference", "previous", "dataset"], Annotated[int, Field(ge=1)]
    ] = {"policy": 4}
    """candidates for each prompt, by who proposes them; previous is the policy a round before"""
    temperature: float = Field(1.0, gt=0)
    hot: float = Field(1.5, gt=0)
    """temperature of the candidates that the policy proposes as `hot`"""
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(64, ge=1)
    chunk: int = Field(256, ge=1)
    """responses generated, and committed, together"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """of the copy of the weights that generates"""


class Explore(Section):
    """Which two of the candidates an oracle is asked about."""

    rule: Part = Part(name="on_policy")
    """a file of explore/, or your own module:function"""
    scorer: Part | None = None
    """the proxy that rules such as best_worst rank by and policy gradients climb; `learned` is the
    reward model that the run has trained"""
    features: Part | None = None
    """vectors of responses for novelty and uncertainty; default: the testbed's, or `hidden`"""
    novelty: Part | None = None
    """how new a response is, for a bonus that needs it"""
    clusters: Part | None = None
    """which candidates say the same, for a rule that needs it: a file of clusters/"""
    members: int = Field(16, ge=2)
    """reward heads on the features, for rules that choose by their disagreement"""
    ridge: float = Field(1.0, gt=0)
    """prior precision of the reward on features of length one"""
    prompts: Literal["any", "disputed", "unsure", "entropy"] = "any"
    """which prompts get the labels when there are fewer: the first, or those that vary most by the
    heads' variance, by the width on the features, or by the policy's own entropy"""


class Ask(Section):
    """Who answers, and how many labels a round may cost."""

    oracle: Part | None = None
    """who says which response is better: a file of oracles/, or your own module:function"""
    labels: int | None = Field(None, ge=1)
    """labels a round; None: one for every prompt"""
    retries: int = Field(2, ge=0)
    """times a missing label is asked for again"""
    max_missing: float = Field(0.2, ge=0, le=1)
    """share of a round's labels that may stay missing before the run stops"""


class Training(Section):
    """An optimizer's way through its rows."""

    lr: float = Field(1e-6, gt=0)
    """AdamW's learning rate; adapters take about a hundred times full fine-tuning's"""
    epochs: int = Field(1, ge=1)
    """times each round goes over its rows"""
    batch: int = Field(32, ge=1)
    """pairs (or single responses) an optimizer step"""
    tokens: int = Field(8192, ge=1)
    """token budget of a micro-batch; never changes the gradient"""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """of the learning rate, within a round"""
    warmup: float = Field(0.0, ge=0, lt=1)
    """share of a round's steps over which the learning rate rises from zero"""
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float | None = Field(1.0, gt=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """autocast; auto is bfloat16 where the machine has it in hardware"""


class Learn(Training):
    """How the policy learns from the answers."""

    loss: Part = Part(name="dpo")
    """a file of losses/, or your own module:function"""
    bonus: Part | None = None
    """a file of bonuses/: optimism or pessimism on samples, added to the loss"""
    bonus_on: (
        Literal["reference", "policy", "hot", "previous", "dataset", "chosen", "asked"] | None
    ) = None
    """whose responses the bonus is on: a source's, the preferred ones or both that were asked
    about; default: the bonus's own choice"""
    init_from: Literal["pi0", "previous"] = "previous"
    """where a round's training starts: the initial policy, or the round before"""
    reference: Literal["pi0", "previous"] = "pi0"
    """what log-ratios are taken against"""
    data: Literal["all", "latest", "window"] = "latest"
    """which rounds' answers a round learns from"""
    window: int = Field(3, ge=1)
    """rounds that `data: window` looks back on, the latest included"""
    rows: Literal["all", "best", "top"] = "all"
    """which single responses a round learns from: all, the best of each prompt by
    `explore.scorer`, or the best `top` share of the round"""
    top: float = Field(0.25, gt=0, le=1)
    """share of a round's responses that `rows: top` keeps"""
    replay: float = Field(0.0, ge=0, lt=1)
    """share of a round's rows that are taken from `data.completions`, so that old skills stay"""
    optimizer: Literal["keep", "fresh"] = "keep"
    """keep the optimizer's moments between rounds, or start each round afresh"""
    resident: bool = True
    """keep the reference model in memory between passes, instead of reloading it"""


class Credit(Section):
    """How a response's reward becomes advantages of its tokens, for policy-gradient losses."""

    beta: float = Field(0.05, ge=0)
    """KL weight: what each nat a token moves away from the reference costs"""
    kl: Literal["k1", "k2", "k3"] = "k1"
    """estimate of a token's KL that enters its reward; k1 = log π/π_ref is the exact penalty"""
    target: float | None = Field(None, gt=0)
    """adaptive KL: nats a sequence that `beta` is steered to, round by round; default: fixed"""
    horizon: float = Field(10_000.0, gt=0)
    """responses over which an adaptive `beta` may change by a fifth of itself"""
    estimator: Literal["gae", "leave_one_out", "mean", "none"] = "gae"
    """what a return is compared with: a critic's value (gae), the prompt's other samples, the
    round's mean, or nothing"""
    gamma: float = Field(1.0, gt=0, le=1)
    """discount a token"""
    lam: float = Field(0.95, ge=0, le=1)
    """GAE's λ: 1 waits for what came, 0 believes the critic"""
    whiten: bool = True
    """advantages of a round to mean 0 and standard deviation 1"""
    whiten_rewards: bool = False
    """the tokens' rewards to standard deviation 1 first, their mean left alone"""
    clip: float | None = Field(None, gt=0)
    """scores are cut to ±clip before anything else"""
    eos_penalty: float | None = Field(None, ge=0)
    """taken off the score of a response that the length limit ended"""
    critic: Literal["reward", "zero", "shared"] = "zero"
    """where the critic starts: the run's reward model, head and all; the policy's copy with a zero
    head; or a zero head on the policy itself (shared), which takes no pass and no trunk of its own
    """
    critic_lr: float | None = Field(None, gt=0)
    """the critic's learning rate; default: learn.lr, or of a shared one's head 100 times that"""


class Reward(Training):
    """How a reward model learns from the answers, in the phases that train one."""

    path: str | None = None
    """the backbone, a Hugging Face folder or hub id; default: the policy's own initial weights"""
    loss: Part = Part(name="bradley_terry")
    """a file of losses/reward/, or your own module:function"""
    heads: int = Field(1, ge=1)
    """members of an ensemble on one backbone"""
    anchor: float = Field(0.0, ge=0)
    """pull of every head to where it began, which keeps the members apart where data are few"""
    views: Part | None = None
    """a file of losses/views/: what the backbone also learns from pairs of the policy's samples"""
    views_weight: float = Field(0.5, gt=0)
    """λ of that term"""
    views_batch: int = Field(64, ge=2)
    """pairs of samples it sees an optimizer step, each other's negatives"""
    views_lr: float = Field(1e-4, gt=0)
    """learning rate of its encoder and critic"""
    language: float = Field(0.0, ge=0)
    """weight of a token's mean surprise in the preferred responses, by the policy's own vocabulary
    head on the reward model's trunk: the backbone keeps its language"""
    lr: float = Field(1e-5, gt=0)
    """AdamW's learning rate; adapters take about a hundred times full fine-tuning's"""
    warmup: float = Field(0.03, ge=0, lt=1)
    """share of a round's steps over which the learning rate rises from zero"""
    init_from: Literal["fresh", "previous"] = "fresh"
    """where training starts: the backbone with a new head, or the reward model there is"""
    data: Literal["all", "latest"] = "all"
    """which rounds' answers it learns from"""
    holdout: float = Field(0.1, ge=0, lt=1)
    """share of the prompts whose answers measure it instead"""
    retrainings: int = Field(1, ge=1)
    """times RLP trains it anew on samples of the policy that climbed the last one"""
    aggregate: Literal["mean", "min", "lower", "first"] = "mean"
    """an ensemble's score: the mean, the least, or the mean less one standard deviation; or what
    the first head says, where the second is about length (`reward.loss=odin`)"""


class Measure(Section):
    """What is measured on held-out prompts, and by whom."""

    every: int = Field(1, ge=1)
    """rounds between measurements; the last round is always measured"""
    prompts: int = Field(200, ge=2)
    kl_samples: int = Field(200, ge=2)
    """untruncated temperature-1 samples for the KL estimate"""
    gold: Part | None = None
    """a scorer that stands for the truth; never trains anything unless it is also the oracle's"""
    judges: tuple[Part, ...] = ()
    """further held-out scorers, reported by name"""
    examples: int = Field(12, ge=0)
    """samples before and after that the report shows"""


class Checkpoint(Section):
    """What is kept on disk."""

    every: int = Field(1, ge=1)
    """rounds between checkpoints that stay; the newest always exists"""
    keep: int = Field(2, ge=1)
    """checkpoints kept beside the best one"""
    steps: int | None = Field(None, ge=1)
    """optimizer steps between restart points inside a round; default: only whole rounds"""
    disk_gb: float | None = Field(None, gt=0)
    """refuse to start, and stop cleanly, when the run folder would grow past this"""


class Limits(Section):
    """When to stop before the last round."""

    kl: float | None = Field(None, gt=0)
    """nats a sequence from the initial policy"""


class Track(Section):
    """Where metrics go besides the run folder."""

    tensorboard: bool = False
    wandb: bool = False
    """project and key come from W&B's own environment variables"""


class Config(Section):
    """Everything that decides what a run does."""

    recipe: str = "online_dpo"
    rounds: int | None = Field(None, ge=1)
    """default: the recipe's"""
    seed: int = 0
    model: Model = Model()
    data: Data = Data()
    sample: Sample = Sample()
    explore: Explore = Explore()
    ask: Ask = Ask()
    learn: Learn = Learn()
    credit: Credit = Credit()
    reward: Reward = Reward()
    measure: Measure = Measure()
    checkpoint: Checkpoint = Checkpoint()
    limits: Limits = Limits()
    track: Track = Track()

    @model_validator(mode="after")
    def _parts_exist(self) -> "Config":
        for kind, part in self.parts():
            if part.name:  # a nameless part waits for its recipe
                plugins.check(kind, part.name, part.options)
        return self

    def parts(self) -> list[tuple[str, Part]]:
        """Every plug-in the run names, with its kind."""
        oracles = [self.ask.oracle, self.explore.scorer, self.measure.gold, *self.measure.judges]
        named = [("losses", self.learn.loss), ("explore", self.explore.rule)]
        known = [
            ("bonuses", self.learn.bonus),
            ("features", self.explore.features),
            ("novelty", self.explore.novelty),
            ("clusters", self.explore.clusters),
            ("losses/reward", self.reward.loss),
            ("losses/views", self.reward.views),
            *(("oracles", part) for part in oracles),
        ]
        return named + [(kind, part) for kind, part in known if part]

    def with_defaults(self, defaults: Mapping[str, Any]) -> "Config":
        """This config, with dotted defaults in the places the user left unset.

        A part the user gave options but no name keeps the default's name and other options.
        """
        tree = self.model_dump(exclude_unset=True)
        for path, value in {**_PART_DEFAULTS, **defaults}.items():
            _fill(tree, path.split("."), value)
        return parse(tree)

    def override(self, settings: Mapping[str, Any]) -> "Config":
        """This config with dotted settings changed: `{"learn.lr": "1e-5"}`."""
        tree = self.model_dump(exclude_unset=True)
        for path, value in sorted(settings.items(), key=lambda item: item[0].count(".")):
            _put(tree, path.split("."), value)
        return parse(tree)

    def yaml(self) -> str:
        """The whole config, defaults included, as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One leg of a recipe: so many rounds of the loop under one config."""

    name: str
    rounds: int
    config: Config
    learns: Literal["policy", "reward"] = "policy"
    """which of the two models its rounds train"""
    asks: bool = True
    """whether its candidates are put to the oracle"""
    anchors: bool = False
    """its policy is π₀ for the phases after it: what they are measured from and return to"""
    begins: Literal["pi0", "previous"] = "previous"
    """the policy that its first round samples: π₀, or where the phase before left it"""


def parse(tree: Mapping[str, Any]) -> Config:
    """A Config from nested mappings; ConfigError says value, rule and the nearest valid name."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(e) for e in error.errors())) from None
    except LookupError as error:
        raise ConfigError(str(error)) from None


def load(path: Path, settings: Sequence[str] = ()) -> Config:
    """The YAML file's config with `key=value` settings on top."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold settings by name, got {type(tree).__name__}")
    return parse(tree).override(assignments(settings))


def assignments(settings: Sequence[str]) -> dict[str, Any]:
    """`["learn.lr=1e-5"]` as {"learn.lr": 1e-05}; values are read as YAML."""
    found = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"settings look like learn.lr=1e-5, got {setting!r}")
        found[key] = _value(text)
    return found


def _value(text: str) -> Any:
    """YAML, except that 1e-5 is a number, as everywhere else."""
    try:
        return float(text) if not text.lstrip("+-").isdigit() else int(text)
    except ValueError:
        return yaml.safe_load(text)


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    first, *rest = path
    if not rest:
        tree[first] = value
        return
    below = tree.get(first) or {}
    below = {"name": below} if isinstance(below, str) else below
    if not isinstance(below, dict):
        raise ConfigError(f"{first} is {below!r} and has no {rest[0]!r} in it; set {first} itself")
    tree[first] = dict(below)
    _put(tree[first], rest, value)


def _fill(tree: dict[str, Any], path: list[str], value: Any) -> None:
    """Set what is unset; a part that is there by the same name, or nameless, gains options."""
    first, *rest = path
    if rest:
        _fill(tree.setdefault(first, {}), rest, value)
    elif first not in tree:
        tree[first] = deepcopy(value)
    elif _same_part(tree[first], value):
        tree[first] = {**value, **{k: v for k, v in tree[first].items() if k != "name"}}


def _same_part(mine: Any, theirs: Any) -> bool:
    if not (isinstance(mine, dict) and isinstance(theirs, dict) and "name" in theirs):
        return False
    return mine.get("name") in (None, "", theirs["name"])


_PART_DEFAULTS = {
    "learn.loss": {"name": "dpo"},
    "reward.loss": {"name": "bradley_terry"},
    "explore.rule": {"name": "on_policy"},
}


def _explain(error: Any) -> str:
    where = ".".join(str(step) for step in error["loc"])
    if error["type"] != "extra_forbidden":
        got = "" if isinstance(error["input"], dict) else f", got {error['input']!r}"
        return f"{where or 'config'}: {error['msg'].removeprefix('Value error, ')}{got}"
    section: Any = Config
    for step in error["loc"][:-1]:
        section = section.model_fields[step].annotation
    near = get_close_matches(str(error["loc"][-1]), section.model_fields, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown setting {where!r}{hint} Valid here: {', '.join(section.model_fields)}"
