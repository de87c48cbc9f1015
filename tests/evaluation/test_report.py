import re
from html.parser import HTMLParser

import numpy as np

from sam_jax.evaluation.report import PICTURE_SIDE, Case, format_report, pick_cases
from sam_jax.evaluation.tables import Table, describe_table, format_csv, print_table

TABLE = Table("a < b", ("method", "IoU", "images"), (("sam & co", 0.123456, 3), ("none", None, 0)))


def test_the_best_the_median_and_the_worst():
    scores = [0.5, 0.9, 0.1, 0.7, 0.3, 0.8, 0.2]
    ranks = pick_cases(scores, 2)
    assert ranks.best == [1, 5]
    assert ranks.worst == [2, 6]
    assert ranks.median == [3, 0]
    assert pick_cases(scores, 1).median == [0]


def test_few_cases_are_shown_once():
    assert pick_cases([], 3) == ([], [], [])
    for count in range(1, 12):
        ranks = pick_cases(np.linspace(1, 0, count).tolist(), 3)
        shown = [*ranks.best, *ranks.median, *ranks.worst]
        assert len(shown) == len(set(shown)) == min(count, 9)
        assert ranks.best[0] == 0


class Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.sources, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.sources.append(dict(attributes)["src"])
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_page_that_needs_nothing_else():
    picture = np.zeros((50, 900, 3), np.uint8)
    cases = {"worst": [Case("x <0.1>", (picture, picture))]}
    plot = '<?xml version="1.0"?><svg></svg>'
    text = format_report("What & how", [TABLE], plots=[plot], cases=cases, settings='{"a": 1}')
    page = Checker()
    page.feed(text)
    assert page.open == []
    assert len(page.sources) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    for text in ("What & how", "a < b", "sam & co", "0.1235", "x <0.1>", '{"a": 1}'):
        assert text in page.text
    assert "<?xml" not in text
    assert len(text) < 50 * PICTURE_SIDE


def test_tables_in_all_forms(capsys):
    assert describe_table(TABLE) == {
        "title": "a < b",
        "rows": [
            {"method": "sam & co", "IoU": 0.123456, "images": 3},
            {"method": "none", "IoU": None, "images": 0},
        ],
    }
    settings = {"seed": 3, "weights": "abc", "config": {"clicks": 9}}
    assert format_csv([TABLE], settings).splitlines() == [
        "table,row,column,value",
        "a < b,sam & co,IoU,0.123456",
        "a < b,sam & co,images,3",
        "a < b,none,IoU,",
        "a < b,none,images,0",
        "settings,seed,value,3",
        "settings,weights,value,abc",
        'settings,config,value,"{""clicks"": 9}"',
    ]
    wide = TABLE._replace(
        columns=tuple(f"column {number}" for number in range(30)),
        rows=(tuple(number / 7 for number in range(30)),),
    )
    print_table(wide)
    shown = capsys.readouterr().out
    assert all(f"{number / 7:.4f}" in shown for number in range(30))
    assert not re.search("…", shown)
