"""Decides which SVG is a picture and no more: nothing in it runs, and it fetches nothing."""

import re
from typing import Any
from xml.sax import SAXException, handler

from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import create_parser

from services.assets.version.inspection.danger import refuse
from services.assets.version.inspection.images import Size
from services.assets.version.inspection.source import Source

LARGEST = 16 * 1024 * 1024
STEP = 64 * 1024
MOST_ELEMENTS = 500_000
_ACTIVE = {
    "script", "foreignobject", "iframe", "object", "embed", "audio", "video", "canvas", "handler", "listener", "html",
    "body", "link", "meta", "base", "form",
}  # fmt: skip
_ANIMATIONS = {"animate", "set", "animatetransform", "animatemotion"}
_TARGETS = re.compile(r"(.*:)?href$|on", re.IGNORECASE)
_PICTURE = re.compile(r"data:image/(png|jpe?g|gif|webp|avif)[;,]", re.IGNORECASE)
_LINK = re.compile(r"(https?:|mailto:)", re.IGNORECASE)
_FETCHING_STYLE = re.compile(r"@import|expression\s*\(|behavior\s*:|-moz-binding|\\", re.IGNORECASE)
_URL = re.compile(r"url\s*\(\s*[\"']?\s*([^\"')\s]*)", re.IGNORECASE)
_PIXELS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:px)?\s*$")


class _Reader(handler.ContentHandler):
    def __init__(self) -> None:
        super().__init__()
        self.elements = 0
        self.size: Size | None = None
        self._style: list[str] | None = None

    def startElementNS(self, name: tuple[str | None, str], qname: str | None, attributes: Any) -> None:  # noqa: N802
        element = name[1].lower()
        if self.elements == 0:
            self.size = _pixels({key[1]: value for key, value in attributes.items()})
        self.elements += 1
        if self.elements > MOST_ELEMENTS:
            refuse("bomb", f"an SVG has {MOST_ELEMENTS} elements at most")
        if element in _ACTIVE:
            refuse("svg_active", f"the SVG has a <{name[1][:40]}>, which can run something; save it without")
        if element == "style":
            self._style = []
        for (namespace, key), value in attributes.items():
            _check_attribute(element, key.lower(), value, foreign=namespace is not None)

    def characters(self, content: str) -> None:
        if self._style is not None:
            self._style.append(content)

    def endElementNS(self, name: tuple[str | None, str], qname: str | None) -> None:  # noqa: N802
        if self._style is not None and name[1].lower() == "style":
            _check_style("".join(self._style))
            self._style = None

    def processingInstruction(self, target: str, data: str) -> None:  # noqa: N802
        refuse("external_reference", f"the SVG has an instruction <?{target[:40]}?>; save it without")


def check_svg(source: Source) -> Size | None:
    """The size in pixels that an SVG gives itself. Refuses what runs, fetches, or can't be read."""
    if source.size > LARGEST:
        refuse("bomb", f"an SVG has {LARGEST} bytes at most")
    reader = _Reader()
    # Python's reader, without entities. That a type is named elsewhere, as drawing programs do, is no harm: nothing
    # outside the file is ever opened.
    parser = create_parser(forbid_dtd=False, forbid_entities=True, forbid_external=False)
    parser.setFeature(handler.feature_namespaces, True)
    parser.setFeature(handler.feature_external_ges, False)
    parser.setContentHandler(reader)
    source.file.seek(0)
    try:
        while block := source.file.read(STEP):
            parser.feed(block)
        parser.close()
    except DefusedXmlException:
        refuse("svg_active", "the SVG declares entities; save it without")
    except (SAXException, ValueError, LookupError):
        refuse("unreadable", "the SVG isn't well-formed XML")
    return reader.size


def _check_attribute(element: str, name: str, value: str, *, foreign: bool) -> None:
    """`foreign`: of another namespace, as editors write them; what they say is read for links alone."""
    said = value.strip()
    if name.startswith("on"):
        refuse("svg_active", f"the SVG runs something {name[:40]}; save it without")
    if name in ("href", "src"):
        links = element == "a" and _LINK.match(said)
        if said and not (said.startswith("#") or _PICTURE.match(said) or links):
            refuse("external_reference", f"the SVG refers to {said[:60]!r}; only itself and pictures in it may be used")
    elif element in _ANIMATIONS and name == "attributename" and _TARGETS.match(said):
        refuse("svg_active", "the SVG changes where its links lead")
    elif not foreign and (name == "style" or "\\" in value or "url" in value.lower()):
        _check_style(value)


def _check_style(style: str) -> None:
    if _FETCHING_STYLE.search(style):
        refuse("external_reference", "the SVG's style fetches something or hides what it says; save it without")
    for target in _URL.findall(style):
        if not target.startswith("#") and not _PICTURE.match(target):
            refuse("external_reference", f"the SVG's style refers to {target[:60]!r}; only itself may be used")


def _pixels(attributes: dict[str, str]) -> Size | None:
    sides = [_PIXELS.match(attributes.get(side, "")) for side in ("width", "height")]
    numbers = [float(side[1]) for side in sides if side]
    if len(numbers) < 2:
        box = attributes.get("viewBox", "").replace(",", " ").split()
        try:
            numbers = [float(each) for each in box[2:]]
        except ValueError:
            return None
    if len(numbers) != 2 or not all(1 <= each <= 1_000_000 for each in numbers):
        return None
    return round(numbers[0]), round(numbers[1])
