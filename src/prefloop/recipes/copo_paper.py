"""COPO as its authors published it."""

from prefloop.config import Config, Phase
from prefloop.recipes._testbed import testbed

ALPHA, CONSTANT, GREEDY = 1e-4, 0.1, 1e-3


def copo_paper(config: Config) -> list[Phase]:
    """COPO with the published code's choices, for comparison with `copo`.

    Bai et al. 2025 (arXiv:2501.12735), Baichenjia/COPO at 837fab4: the bonus is on a (nearly)
    greedy response, by a head built anew each round and trained once on the very responses it then
    counts, with coins tossed anew at every look; the reference is the previous iterate, α is 1e-4
    times a constant 0.1. Its readings do not follow 1/√count. The code ranks a file's pair beside
    the greedy response; here the candidates are the policy's own.
    """
    settings = {
        "sample.sources": {"policy": 2, "hot": 1},
        **testbed(config),
        **({"sample.sources": {"policy": 3, "hot": 1}} if testbed(config) else {}),
        "sample.prompts": 512,
        "sample.hot": GREEDY,
        "explore.novelty": {"name": "coin_flip_published"},
        "learn.loss": {"name": "dpo", "beta": 0.01},
        "learn.bonus": {"name": "copo", "alpha": ALPHA * CONSTANT},
        "learn.bonus_on": "hot",
        "learn.init_from": "previous",
        "learn.reference": "previous",
        "learn.data": "latest",
    }
    rounds = config.rounds or 3
    return [Phase(name="iterative", rounds=rounds, config=config.with_defaults(settings))]
