"""Formats a report as a badge for a README: "phoenix 1.8.12 | 73/73 conformance"."""

from __future__ import annotations

from html import escape

from phoenix_compat.conformance.report.summary import Outcome, Report

_CHAR_WIDTH = 6.6
_PADDING = 10
_GREEN, _YELLOW, _RED = "#2f855a", "#b7791f", "#c53030"
_YELLOW_FROM = 0.9


def to_badge(report: Report) -> str:
    """The report as SVG, in the style of shields.io.

    Green if every case passed, yellow from 90 % or if nothing failed, otherwise red.
    """
    total = len(report.verdicts)
    unjudged = report.counts[Outcome.UNJUDGED]
    name, value = f"phoenix {report.profile}", f"{report.passed}/{total} conformance"
    if unjudged:
        value += f", {unjudged} not judged"
    widths = [round(len(text) * _CHAR_WIDTH + 2 * _PADDING) for text in (name, value)]
    total_width = sum(widths)
    share = report.passed / total if total else 0.0
    is_nearly = share >= _YELLOW_FROM or report.passed + unjudged == total
    colour = _GREEN if share == 1 else _YELLOW if is_nearly else _RED
    label = escape(f"{name}: {value}", quote=True)
    middles = [widths[0] / 2, widths[0] + widths[1] / 2]
    texts = "".join(
        f'<text x="{middle:g}" y="14">{escape(text)}</text>'
        for middle, text in zip(middles, (name, value), strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total_width}" height="20" role="img" '
        f'aria-label="{label}"><title>{label}</title>'
        f'<clipPath id="r"><rect width="{total_width}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{total_width}" height="20" fill="#3f4652"/>'
        f'<rect x="{widths[0]}" width="{widths[1]}" height="20" fill="{colour}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-size="11" '
        f'font-family="Verdana,Geneva,DejaVu Sans,sans-serif">{texts}</g></svg>\n'
    )
