"""Sentence splitter for scientific prose."""

from __future__ import annotations

import re
from bisect import bisect_left

# Abbreviations, in lower case, whose full stop does not end a sentence.
_ABBREVIATION = re.compile(
    r"al|approx|appr|ca|cf|ch|col|dec|deg|dr|e\.g|eg|eqn?s?|esp|et|etc|ext|figs?|i\.e|ie|jr|lum|max"
    r"|min|mrs?|ms|mt|nos?|obs|pp?|prof|pt|refs?|resp|sec|sects?|sr|st|tab|temp|viz|vols?|vs"
)
# Words that start a sentence when they follow an abbreviation.
_STARTER = re.compile(
    r"(?:a|after|although|an|as|at|both|by|during|finally|for|from|further|furthermore|here|however"
    r"|if|in|it|its|moreover|of|on|our|since|such|that|the|their|these|they|this|those|thus|to|using"
    r"|we|when|while|with)(?![a-z])",
    re.IGNORECASE,
)
# Abbreviations that end a sentence when one of these words follows ("…, etc. We find…").
_MAY_CLOSE = frozenset({"etc", "al", "no", "max", "min", "temp", "obs", "ext", "dec", "sec"})
_BORDER = re.compile(r"[.!?][\"'’”)\]}$]*\s+(?=[\"'‘“(\[{$\\]*[A-Z0-9Α-Ω$\\~<>≈])")


def split_sentences(text: str) -> list[str]:
    """Split a text into sentences and normalise white space.

    A full stop ends a sentence if a capital letter, digit or formula follows, unless it belongs to
    an abbreviation (`et al.`, `e.g.`, `Fig.`) or an initial (`J. Smith`), or is inside a `$…$`
    formula or parentheses.

    Examples:
        >>> split_sentences("We fit $\\\\Gamma = 1.8$ (cf. Smith et al. 2004). It varies.")
        ['We fit $\\\\Gamma = 1.8$ (cf. Smith et al. 2004).', 'It varies.']
    """
    text = " ".join(text.split())
    dollars = [mark.start() for mark in re.finditer(r"(?<!\\)\$", text)]
    sentences = []
    start = 0
    for border in _BORDER.finditer(text):
        stop, end = border.span()
        if text[stop] == "." and not _ends(text[max(0, stop - 40) : stop], text[end : end + 40]):
            continue
        # After an odd number of dollar signs, the full stop is inside a formula.
        in_formula = (bisect_left(dollars, end) - bisect_left(dollars, start)) % 2
        # Closing parentheses are sometimes missing in abstracts, so only a near one counts.
        tail = text[max(start, end - 150) : end]
        if not in_formula and tail.rfind("(") <= tail.rfind(")"):
            sentences.append(text[start:end].rstrip())
            start = end
    return [*sentences, *filter(None, [text[start:]])]


def _ends(before: str, after: str) -> bool:
    """Return True if the full stop between the two closes a sentence."""
    word = re.split(r"[\s(\[{~]", before)[-1]
    bare = word.lower().strip("\"'’”$.,;:")
    starter = _STARTER.match(after) is not None
    if _ABBREVIATION.fullmatch(bare):
        return bare in _MAY_CLOSE and starter
    # U.S, a.k.a, or an initial as in "J. Smith"; a single letter can also be a band or a component.
    return starter or re.fullmatch(r"(?:[A-Za-z]\.)+[A-Za-z]|[A-Z]", word) is None
