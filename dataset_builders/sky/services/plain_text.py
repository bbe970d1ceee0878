"""Plain text of titles and abstracts as ADS sends them: HTML, JATS and MathML marks, entities.

The meaning of marks is kept: `10<SUP>21</SUP>` becomes `10^21` and `N<SUB>H</SUB>` `N_H`.
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
# A `<` between numbers is no mark: a mark has a known name, and attributes with a value.
_MARK = re.compile(
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
    """Return the words of a title or abstract, with white space folded.

    Args:
        text: with marks in either case, nested or unclosed, and entities, encoded once or twice.
    """
    text = html.unescape(html.unescape(text))
    # Elements that are open: name, and the pieces of their content.
    stack: list[tuple[str, list[str]]] = [("", [])]
    place = 0
    for mark in _MARK.finditer(text):
        stack[-1][1].append(text[place : mark.start()])
        place = mark.end()
        name = mark["name"].lower()
        if name in ("p", "br", "sec", "title"):
            stack[-1][1].append("\n")
        elif not mark["close"] and not mark["empty"]:
            stack.append((name, []))
        elif mark["close"] and name in (open_name for open_name, _ in stack):
            while True:
                closed, pieces = stack.pop()
                stack[-1][1].append(_content(closed, pieces, whole=closed == name))
                if closed == name:
                    break
    stack[-1][1].append(text[place:])
    while len(stack) > 1:
        closed, pieces = stack.pop()
        stack[-1][1].append(_content(closed, pieces, whole=False))
    lines = [" ".join(line.split()) for line in "".join(stack[0][1]).split("\n")]
    lines = [line for line in lines if line]
    ended = [line if line[-1] in ".!?:;" else f"{line}." for line in lines[:-1]]
    return re.sub(r" ([,.;:])(?!\d)", r"\1", " ".join([*ended, *lines[-1:]]))


def _content(name: str, pieces: list[str], *, whole: bool) -> str:
    """Write the content of an element; of one that was never closed (not `whole`), as it is."""
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
