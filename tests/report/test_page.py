"""The page is one file, safe with foreign text, and stands whatever is missing."""

import re
import shutil
from html.parser import HTMLParser

import pytest

from prefloop.measure.health import examine
from prefloop.report.page import Asked, Example, Summary, render, rounds_table, write

HOSTILE = "<script>alert('owned')</script><img src=x onerror=alert(1)>&amp;"


@pytest.fixture(scope="module")
def summary(metrics):
    return Summary(
        title="online_dpo on testbed",
        created="2026-01-12 14:03 UTC",
        metrics=metrics,
        notes=("KL is of the untruncated law.",),
        examples=(
            Example(prompt="the film", before="is dull .", after="is warm .", score_after=1.25),
        ),
        preferences=(Asked(prompt="the film", a="is warm .", b="is dull .", p=0.75),),
        verdicts=examine(metrics),
        config_yaml="recipe: online_dpo\n",
        versions={"prefloop": "0.1.0"},
    )


@pytest.fixture(scope="module")
def html(summary):
    return render(summary)


class Page(HTMLParser):
    """Tags, attributes and text of a page; complains where tags do not nest."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_holds_every_section(html):
    ids = ("numbers", "reward", "health", "samples", "diagnostics", "preferences", "rounds")
    for name in (*ids, "time", "setup"):
        assert f'<section id="{name}">' in html


def test_every_tag_is_closed_where_it_was_opened(html):
    assert Page(html).open == []


def test_every_id_is_unique(html):
    ids = [value for name, value in Page(html).attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_a_drawing_refers_only_to_its_own_parts(html):
    ids = set(re.findall(r'\bid="([^"]+)"', html))
    used = re.findall(r'(?:url\(#|href="#)([^")]+)', html)
    assert used
    assert set(used) <= ids


def test_nothing_is_fetched_from_anywhere(html):
    sources = [v for n, v in Page(html).attributes if n in ("src", "href", "xlink:href", "action")]
    assert all(value.startswith(("#", "data:")) for value in sources)
    assert not re.search(r"@import|url\((?!#)", html)
    assert "script" not in Page(html).tags


def test_markup_in_foreign_text_is_shown_not_obeyed(metrics):
    hostile = Summary(
        title=HOSTILE,
        created=HOSTILE,
        metrics=[{**row, "judges": {HOSTILE: 1.0}} for row in metrics[:2]],
        notes=[HOSTILE],
        examples=[Example(prompt=HOSTILE, before=HOSTILE, after=HOSTILE)],
        preferences=[Asked(prompt=HOSTILE, a=HOSTILE, b=HOSTILE, p=0.5)],
        config_yaml=HOSTILE,
        versions={HOSTILE: HOSTILE},
    )
    page = Page(render(hostile))
    assert not {"script", "img"} & set(page.tags)
    titles, judge, created, notes, samples, asked, config, versions = 2, 1, 1, 1, 3, 3, 1, 2
    expected = titles + judge + created + notes + samples + asked + config + versions
    assert page.text.count(HOSTILE) == expected


def test_a_page_without_numbers_says_so():
    assert "Nothing has been measured yet." in render(Summary(title="run", metrics=[]))
    nulls = [{"round": n, "kl": None, "judges": None, "seconds_ask": None} for n in range(3)]
    html = render(Summary(title="run", metrics=nulls, status="running"))
    assert "Nothing has been measured yet." in html
    assert "<svg" not in html


def test_one_round_has_numbers_and_no_lines(metrics):
    html = render(Summary(title="run", metrics=metrics[:1], verdicts=examine(metrics[:1])))
    assert "0.10" in html
    assert 'id="reward"' not in html
    assert 'id="diagnostics"' not in html


def test_offline_dpo_without_a_gold_scorer_has_a_page(metrics):
    known = ("round", "kl", "loss", "accuracy", "response_length_mean", "nll_ref", "eos_rate")
    rows = [{k: row[k] for k in known} | {"eval_accuracy": 0.5} for row in metrics[:2]]
    html = render(Summary(title="run", metrics=rows))
    assert "on held-out labels" in html
    assert 'id="diagnostics"' in html
    assert 'id="reward"' not in html


def test_long_empty_and_odd_texts_are_shown_whole():
    texts = ("word " * 20_000, "x" * 50_000, "", "\u202eright to left", "\ud800 half a pair")
    examples = [Example(prompt=t, before=t, after=t) for t in texts]
    page = Page(render(Summary(title="run", metrics=[], examples=examples)))
    assert page.text.count("(empty)") == 2
    assert page.text.count("x" * 50_000) == 3


def test_a_written_page_is_the_rendered_one_and_leaves_nothing_beside_it(summary, html, tmp_path):
    write(summary, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_text_that_is_no_unicode_is_still_written(tmp_path):
    odd = [Example(prompt="p", before="\ud800", after="")]
    write(Summary(title="run", metrics=[], examples=odd), tmp_path / "report.html")
    assert "After" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_same_run_gives_the_same_page(summary, html):
    assert render(summary) == html


def test_the_table_of_very_many_rounds_keeps_the_first_and_the_last():
    _, rows = rounds_table([{"round": n, "kl": 0.0} for n in range(5000)])
    assert len(rows) == 200
    assert (rows[0][0], rows[-1][0]) == ("0", "4999")


def test_columns_that_were_never_measured_are_left_out(metrics):
    titles, rows = rounds_table([{**row, "gold_reward_mean": None} for row in metrics])
    assert "Gold" not in titles
    assert "Proxy" in titles
    assert all(len(row) == len(titles) for row in rows)


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.mark.parametrize("width", [400, 1200])
def test_a_browser_without_network_shows_it_without_complaint(browser, summary, tmp_path, width):
    write(summary, tmp_path / "report.html")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.context.set_offline(True)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())
    cards = page.locator(".card .value").all_inner_texts()
    assert "0.10 → 1.60" in cards
    assert page.locator("figure svg").count() >= 8
    assert page.locator("figure svg").first.is_visible()
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
    assert complaints == []
    page.close()
