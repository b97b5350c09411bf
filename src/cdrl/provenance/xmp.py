"""XMP, the standard place for labels in MP4 and MOV: a packet in a `uuid` box at the end of the file.

At the end, because nothing then moves that the film's index points to; in XMP, because labels of our own among the
film's would make every label move to a place that some players do not read. XMP specification, part 3; IPTC Photo and
Video Metadata (DigitalSourceType).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

from cdrl.files import loads_untrusted
from cdrl.provenance.record import BEGINNING, COPY_BEGINNING

BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")
LARGEST = 1 << 20  # bytes; a packet is a few thousand

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SPACES = {
    "x": "adobe:ns:meta/",
    "rdf": _RDF,
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "cdrl": "urn:cdrl:provenance#",
}
_SOURCE_TYPE = f"{{{_SPACES['Iptc4xmpExt']}}}DigitalSourceType"
_CREATOR = f"{{{_SPACES['xmp']}}}CreatorTool"
_DESCRIPTION = f"{{{_SPACES['dc']}}}description"
_EDITS = f"{{{_SPACES['cdrl']}}}Edits"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"

for _prefix, _space in _SPACES.items():
    ET.register_namespace(_prefix, _space)


def packet(
    source: str, edit: Mapping[str, Any], description: str, source_type: str | None, earlier: Sequence[Any] = ()
) -> str:
    """The XMP packet of a source ('' for none) with an edit added.

    What the source says stays, earlier edits included; only its digital source type gives way, and our own description.
    `earlier` are the edits that the source tells of elsewhere, as Matroska does; where its packet has some, they are
    these. A record without segments, of a result in which no frame was changed, adds no edit. A packet that cannot be
    understood, or would grow too large to be read again, is left out.
    """
    root = _parsed(source)
    if root is None:
        root = ET.Element(f"{{{_SPACES['x']}}}xmpmeta")
        ET.SubElement(root, f"{{{_RDF}}}RDF")
    rdf = next(root.iter(f"{{{_RDF}}}RDF"))
    _add(rdf, edit, description, source_type, earlier)
    begin = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    try:
        text = f'{begin}{ET.tostring(root, encoding="unicode")}<?xpacket end="w"?>'
    except RecursionError:
        return packet("", edit, description, source_type)
    return text if len(text) <= LARGEST or not (source or earlier) else packet("", edit, description, source_type)


def _add(
    rdf: ET.Element, edit: Mapping[str, Any], description: str, source_type: str | None, earlier: Sequence[Any]
) -> None:
    """Write an edit into the RDF of a packet."""
    existing = rdf.findall(f"{{{_RDF}}}Description")
    about = f"{{{_RDF}}}about"  # what all descriptions of a packet have in common
    own = ET.SubElement(rdf, f"{{{_RDF}}}Description", {about: existing[0].get(about, "") if existing else ""})
    if source_type is not None:
        for one in existing:
            one.attrib.pop(_SOURCE_TYPE, None)
            for element in one.findall(_SOURCE_TYPE):
                one.remove(element)
        ET.SubElement(own, _SOURCE_TYPE).text = source_type
    if not any(_CREATOR in one.attrib or one.find(_CREATOR) is not None for one in existing):
        ET.SubElement(own, _CREATOR).text = f"{edit['tool']} {edit['version']}"
    descriptions = rdf.findall(f"*/{_DESCRIPTION}/{{{_RDF}}}Alt/{{{_RDF}}}li")
    if not descriptions:
        alternatives = ET.SubElement(ET.SubElement(own, _DESCRIPTION), f"{{{_RDF}}}Alt")
        ET.SubElement(alternatives, f"{{{_RDF}}}li", {_LANGUAGE: "x-default"}).text = description
    for element in descriptions:
        if (element.text or "").startswith((BEGINNING, COPY_BEGINNING)):
            element.text = description
    sequence = rdf.find(f"*/{_EDITS}/{{{_RDF}}}Seq")
    added = [*(earlier if sequence is None else ()), *([edit] if edit.get("segments", True) else ())]
    if not added:
        return
    if sequence is None:
        sequence = ET.SubElement(ET.SubElement(own, _EDITS), f"{{{_RDF}}}Seq")
    for one in added:
        ET.SubElement(sequence, f"{{{_RDF}}}li").text = json.dumps(one, ensure_ascii=False)


def parse_xmp(text: str) -> tuple[str | None, list[Any]]:
    """Digital source type, and the edits, oldest first, that an XMP packet tells of; (None, []) for nonsense."""
    root = _parsed(text)
    if root is None:
        return None, []
    attributes = (one.get(_SOURCE_TYPE) for one in root.iter(f"{{{_RDF}}}Description"))
    elements = (element.text for element in root.iter(_SOURCE_TYPE))
    source_type = next((found for found in (*attributes, *elements) if found), None)
    edits = []
    for item in root.iterfind(f".//{_EDITS}/{{{_RDF}}}Seq/{{{_RDF}}}li"):
        try:
            edits.append(loads_untrusted(item.text or ""))
        except ValueError:
            continue
    return source_type, edits


def append_box(path: Path, text: str) -> None:
    """Add a packet to the end of a finished MP4 or MOV."""
    content = text.encode("utf-8")
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + 16 + len(content), b"uuid") + BOX.bytes + content)


def _parsed(text: str) -> ET.Element | None:
    """None for what is no XMP, and for what could be an attack on the parser: XMP has no document type."""
    if not text or len(text) > LARGEST or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError, RecursionError):
        return None
    return root if next(root.iter(f"{{{_RDF}}}RDF"), None) is not None else None
