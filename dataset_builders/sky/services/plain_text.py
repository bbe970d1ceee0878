"""Conversion of ADS titles and abstracts (HTML, JATS, MathML, entities) to plain text.

Scripts are kept: `10<SUP>21</SUP>` becomes `10^21` and `N<SUB>H</SUB>` becomes `N_H`.
"""

from __future__ import annotations

import html
import re

_NAMES = (
    "sub|sup|astrobj|a|p|br|i|b|u|em|strong|tt|font|span|div|italic|bold|sc|title|sec|"
    "inline-formula|disp-formula|alternatives|tex-math|"
    "math|semantics|annotation|mrow|mi|mn|mo|ms|mtext|mspace|mstyle|msub|msup|msubsup|munder|"
    "mover|munderover|mfrac|msqrt|mfenced|mpadded|mphantom|mmultiscripts|none|mprescripts"
)
# Only known tag names, as `<` is also the less-than sign.
_TAG = re.compile(
    rf"<(?P<close>/?)(?:\w+:)?(?P<name>{_NAMES})"
    r"(?:\s+[\w:.-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s<>]+))*\s*(?P<empty>/?)>",
    re.IGNORECASE,
)
_SCRIPTS = {
    "sub": "_", "sup": "^", "msub": "_", "munder": "_", "msup": "^", "mover": "^",
    "msubsup": "_^", "munderover": "_^", "mfrac": "/",
}  # fmt: skip
_DROPPED = frozenset(("tex-math", "annotation", "mphantom"))
_RELATIONS = frozenset("=<>≤≥≲≳∼≈≃≡±×−+")


def plain_text(text: str) -> str:
    """Convert a title or abstract to plain text with single spaces.

    Args:
        text: may have nested or unclosed tags and entities that are escaped once or twice.
    """
    text = html.unescape(html.unescape(text))
    # Open elements: name and content.
    stack: list[tuple[str, list[str]]] = [("", [])]
    position = 0
    for tag in _TAG.finditer(text):
        stack[-1][1].append(text[position : tag.start()])
        position = tag.end()
        name = tag["name"].lower()
        if name in ("p", "br", "sec", "title"):
            stack[-1][1].append("\n")
        elif not tag["close"] and not tag["empty"]:
            stack.append((name, []))
        elif tag["close"] and name in (open_name for open_name, _ in stack):
            while True:
                closed, pieces = stack.pop()
                stack[-1][1].append(_content(closed, pieces, whole=closed == name))
                if closed == name:
                    break
    stack[-1][1].append(text[position:])
    while len(stack) > 1:
        closed, pieces = stack.pop()
        stack[-1][1].append(_content(closed, pieces, whole=False))
    lines = [" ".join(line.split()) for line in "".join(stack[0][1]).split("\n")]
    lines = [line for line in lines if line]
    ended = [line if line[-1] in ".!?:;" else f"{line}." for line in lines[:-1]]
    return re.sub(r" ([,.;:])(?!\d)", r"\1", " ".join([*ended, *lines[-1:]]))


def _content(name: str, pieces: list[str], *, whole: bool) -> str:
    """Format the content of an element (`whole`: it has an end tag)."""
    text = "".join(pieces)
    if name in _DROPPED:
        return ""
    signs = _SCRIPTS.get(name, "")
    if name in ("sub", "sup"):
        return signs + (_group(text) if whole else text)
    if name == "mo" and text.strip() in _RELATIONS:
        return f" {text.strip()} "
    if name == "msqrt":
        return f"sqrt({text})"
    children = [piece.strip() for piece in pieces if piece.strip()]
    if signs and len(children) == len(signs) + 1:
        scripts = (sign + _group(child) for sign, child in zip(signs, children[1:], strict=True))
        return children[0] + "".join(scripts)
    return text if name != "mrow" else "".join(children)


def _group(text: str) -> str:
    text = " ".join(text.split())
    return f"{{{text}}}" if re.search(r"[\s_^]", text) else text
