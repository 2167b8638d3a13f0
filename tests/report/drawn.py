"""What a drawn chart shows, read from its SVG: Vega writes the values of every mark into it."""

from __future__ import annotations

import re
import struct
import zlib
from typing import Any
from xml.etree import ElementTree

from benchlib.report.charts import Chart, spec, svg

LINKS = ("href", "{http://www.w3.org/1999/xlink}href", "src")


def rows_of(chart: Chart) -> list[dict[str, Any]]:
    """The rows that a chart's layers share."""
    definition = spec(chart)
    rows: list[dict[str, Any]] = definition["datasets"][definition["data"]["name"]]
    return rows


class Drawing:
    """One chart as SVG."""

    def __init__(self, chart: Chart) -> None:
        self.root = ElementTree.fromstring(svg(chart))

    @property
    def texts(self) -> list[str]:
        """All words, line by line."""
        found = self.root.iter("{http://www.w3.org/2000/svg}text")
        return [line for each in found for line in each.itertext()]

    @property
    def text(self) -> str:
        return " ".join(self.texts).replace("\u00a0", " ")

    @property
    def size_px(self) -> tuple[float, float]:
        return float(self.root.attrib["width"]), float(self.root.attrib["height"])

    @property
    def links(self) -> list[str]:
        return [each.attrib[name] for each in self.root.iter() for name in LINKS if name in each.attrib]

    @property
    def tags(self) -> set[str]:
        return {each.tag.rpartition("}")[2] for each in self.root.iter()}

    @property
    def fills(self) -> set[str]:
        return {each.attrib["fill"] for each in self.root.iter() if "fill" in each.attrib}

    def marks(self, kind: str) -> list[dict[str, str]]:
        """The values of all marks of a kind, such as 'point'; as they are printed in tooltips."""
        found = (
            each.attrib["aria-label"]
            for each in self.root.iter()
            if each.attrib.get("aria-roledescription") == kind
        )
        return [dict(re.findall(r"([^;:]+): ?(.*?)(?:; |$)", label)) for label in found]


def colours_of_png(image: bytes) -> tuple[int, int, int]:
    """Width, height and how many different bytes the packed lines have: an empty image has next to none."""
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", image[16:24])
    packed, place = b"", 8
    while place < len(image):
        length, kind = struct.unpack(">I4s", image[place : place + 8])
        packed += image[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        place += length + 12
    return width, height, len(set(zlib.decompress(packed)))
