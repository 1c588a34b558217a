"""The frame of an HTML page: everything inline, nothing from a network."""

import html
from collections.abc import Sequence
from pathlib import Path

_STYLE = Path(__file__).with_name("report.css")


def page(title: str, header: str, sections: Sequence[tuple[str, str]]) -> str:
    """A whole page. Sections are (heading, HTML); empty ones are left out."""
    there = [(heading, body) for heading, body in sections if body]
    links = "".join(f'<a href="#{_anchor(name)}">{html.escape(name)}</a>' for name, _ in there)
    bodies = "\n".join(
        f'<section id="{_anchor(name)}"><h2>{html.escape(name)}</h2>{body}</section>'
        for name, body in there
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title>"
        f"<style>{_STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f"<body><header>{header}</header><nav>{links}</nav>\n<main>{bodies}</main></body></html>\n"
    )


def grid(figures: Sequence[str]) -> str:
    """Figures side by side, as many as fit."""
    return f'<div class="grid">{"".join(figures)}</div>' if figures else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text; the first column names the row."""
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr><th>{html.escape(row[0])}</th>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def folded(summary: str, body: str) -> str:
    return f"<details><summary>{html.escape(summary)}</summary>{body}</details>"


def preformatted(text: str) -> str:
    return f'<pre class="config">{html.escape(text)}</pre>'


def paragraphs(sentences: Sequence[str], css_class: str) -> str:
    return "".join(f'<p class="{css_class}">{html.escape(each)}</p>' for each in sentences)


def write_whole(path: Path, text: str) -> None:
    """Replaces the file in one step: a reader never sees half a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _anchor(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())
