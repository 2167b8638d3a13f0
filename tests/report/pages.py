"""What a browser would make of a report, without one: its elements, read by Python's own parser."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = frozenset(("meta", "source", "img", "br", "link", "input", "hr"))
LOADING = ("src", "srcset", "href", "data", "action", "poster")


@dataclass
class Element:
    """One element with what is in it."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All words in it, in order, spaces put together."""
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[Element]:
        """All elements of this tag below it."""
        found = [each for each in self.children if each.tag == tag]
        return found + [deeper for each in self.children for deeper in each.all(tag)]

    def section(self, heading: str) -> Element:
        """The section with this heading."""
        (found,) = (each for each in self.all("section") if each.all("h2")[0].text == heading)
        return found

    def rows(self, place: int = 0) -> list[list[str]]:
        """The cells of a table below it, its head included."""
        lines = self.all("table")[place].all("tr")
        return [[cell.text for cell in (*line.all("th"), *line.all("td"))] for line in lines]

    @property
    def loads(self) -> set[str]:
        """The schemes of all that it would load or lead to."""
        mine = [self.attributes[name] for name in LOADING if name in self.attributes]
        return {url.partition(":")[0] for url in mine}.union(*(each.loads for each in self.children))

    @property
    def specs(self) -> dict[str, Any]:
        """The charts as a script finds them."""
        (data,) = (each for each in self.all("script") if each.attributes.get("type") == "application/json")
        found: dict[str, Any] = json.loads("".join(data.words))
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.words.append(data)


def read(page: str) -> Element:
    """The whole page; fails where elements are not closed in order."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert len(reader.open) == 1
    return reader.open[0]
