"""What a plug-in's file promises, whatever its kind."""

import pytest

from prefloop import plugins

FILES = [
    pytest.param(kind, name, id=f"{kind}-{name}")
    for kind in plugins.KINDS
    for name in plugins.names(kind)
]


@pytest.mark.parametrize(("kind", "name"), FILES)
class TestEveryPlugIn:
    def test_the_file_name_is_the_name(self, kind, name):
        found = plugins.find(kind, name)
        assert found.__name__.replace("_", "").lower() == name.replace("_", "")

    def test_its_first_line_says_what_it_is(self, kind, name):
        summary = plugins.card(kind, name).summary
        assert (summary and summary[0].isupper()) or summary[:1] == "π" or summary[:2] == "P("
        assert summary.rstrip().endswith((".", ":")), "a whole sentence, not cut in two"

    def test_the_card_agrees_with_the_module(self, kind, name):
        """What is read from the source is what importing gives."""
        module = __import__(f"prefloop.{kind.replace('/', '.')}.{name}", fromlist=[name])
        card = plugins.card(kind, name)
        assert card.needs == tuple(getattr(module, "needs", ()))
        assert card.aliases == tuple(getattr(module, "aliases", ()))


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_no_name_or_alias_means_two_things(kind):
    known = [*plugins.names(kind)]
    for name in plugins.names(kind):
        known.extend(plugins.card(kind, name).aliases)
    assert len(set(known)) == len(known)
