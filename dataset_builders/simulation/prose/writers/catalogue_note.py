"""Terse note on a source of a catalogue: fragments in random order."""

from __future__ import annotations

from ...source_classes import COMPONENTS, PLASMA, POWER_LAW
from ..composition import Composition
from ..notation import Numerals, luminosity_over_flux
from ..phrases import read_phrases
from ..reporter import Reporter, Writer

PHRASES = read_phrases("writers/catalogue_note")
_FEWEST = 8


class _Note:
    """Fragments of one note, by section."""

    def __init__(self, reporter: Reporter) -> None:
        self.facts, self.reporter = reporter.facts, reporter
        self.phrase = Composition(reporter).phrase
        self.numerals = Numerals(reporter, reporter.choose(PHRASES.notations))
        self.class_known = self.has_redshift = self.hosted = False

    def identity(self) -> list[str]:
        """Return class, with or without evidence, and redshift."""
        facts, reporter = self.facts, self.reporter
        lot = reporter.random.random()
        notes = []
        if lot < 0.62:
            self.class_known = True
            label = PHRASES.labels.pick(reporter)
            if reporter.chance(0.55):
                why = self.phrase(PHRASES.evidence[facts.class_name])
                notes.append(self.phrase(PHRASES.why, label=label, why=why))
            else:
                notes.append(self.phrase(PHRASES.identified, label=label))
            if reporter.chance(0.25):
                notes.append(self.phrase(PHRASES.evidence[facts.class_name]))
        elif lot < 0.85:
            label = PHRASES.families.pick(reporter)
            notes.append(self.phrase(PHRASES.identified, label=label))
        elif lot < 0.95:
            notes.append(self.phrase(PHRASES.unidentified))
        if facts.redshift > 0.0 and reporter.chance(0.5):
            photometric = reporter.chance(0.35)
            error = 0.05 * (1.0 + facts.redshift) if photometric else 1e-3
            measured = reporter.measure("redshift", error)
            if measured.value > 0.0:
                self.has_redshift = True
                number = self.numerals.state("z", measured)
                notes.append(f"{number}{' (phot)' if photometric else ''}")
        return notes

    def spectrum(self) -> list[str]:
        """Return some of: model, column, hardness, soft end, brightness, behaviour."""
        reporter = self.reporter
        notes = []
        if reporter.chance(0.6):
            notes.append(self._model())
        if reporter.chance(0.5):
            notes.append(self._column())
        if reporter.chance(0.45):
            measured = reporter.measure("hardness", 0.1)
            if reporter.chance(0.25):
                sign = "+" if measured.value > 0.0 else ""
                notes.append(f"HR={sign}{reporter.decimal(measured, 2)}")
            else:
                notes.append(reporter.word(measured, PHRASES.hardness))
        if reporter.chance(0.15):
            notes.append(reporter.word(reporter.measure("medium_soft", 0.1), PHRASES.soft_end))
        if reporter.chance(0.6):
            notes.append(self._power())
        if self.class_known and reporter.chance(0.4):
            notes.append(self.phrase(PHRASES.behaviour[self.facts.class_name]))
        return reporter.shuffled(notes)

    def context(self) -> list[str]:
        """Return some of: place, distance, counts, remarks."""
        facts, reporter = self.facts, self.reporter
        notes = []
        if facts.host and reporter.chance(0.35):
            self.hosted = True
            reporter.label("host", facts.field_kind)
            host = facts.host.removeprefix("the ")
            place = self.phrase(PHRASES.places[facts.field_kind], host=host)
            if facts.is_at_known_distance and reporter.chance(0.4):
                measured = reporter.measure("distance_mpc", 0.1)
                place = f"{place}, D={reporter.length(measured, 2, kpc_below=0.3)}"
            notes.append(place)
        if reporter.chance(0.3):
            measured = reporter.measure("photons", 0.25)
            if reporter.chance(0.5):
                notes.append(f"{reporter.plain(measured, 2)} cts")
            else:
                notes.append(reporter.word(measured, PHRASES.counts))
        notes += [self.remark() for _ in range(int(5.0 * reporter.random.random() ** 1.5))]
        return reporter.shuffled(notes)

    def remark(self) -> str:
        """Return a remark without information on the spectrum."""
        return self.phrase(PHRASES.remarks)

    def _model(self) -> str:
        facts, reporter = self.facts, self.reporter
        kind = int(facts.first)
        lot = reporter.random.random()
        if lot < 0.2:
            reporter.label_shape()
            measured = reporter.measure("shape", 0.2)
            if kind == POWER_LAW:
                # The first is not used; without it all texts would change.
                measured = reporter.measure("shape", 0.2)
            text = reporter.word(measured, PHRASES.slope if kind == POWER_LAW else PHRASES.heat)
        elif lot < 0.45:
            reporter.label_shape()
            text = self._shape("shape", kind)
        else:
            reporter.label("model", COMPONENTS[kind])
            text = reporter.pick(PHRASES.models[COMPONENTS[kind]])
            if reporter.chance(0.7):
                gap = ", " if reporter.chance(0.3) else " "
                text = f"{text}{gap}{self._shape('shape', kind)}"
        if reporter.tells_second(0.4):
            kind = int(facts.second)
            model = reporter.pick(PHRASES.models[COMPONENTS[kind]])
            if reporter.chance(0.4):
                model = f"{model} {self._shape('shape2', kind)}"
            text = f"{text}{self.phrase(PHRASES.second, model=model)}"
        return text

    def _shape(self, quantity: str, kind: int) -> str:
        reporter = self.reporter
        key = "gamma"
        if kind == POWER_LAW:
            measured = reporter.measure(quantity, 0.1 * 3.0 ** reporter.random.random())
        else:
            measured = reporter.measure(quantity, 0.08 * 2.5 ** reporter.random.random())
            if measured.value > 5.0 and reporter.chance(0.5):
                return self.numerals.limit("kt", measured, upper=False)
            key = "ev" if measured.value < 0.2 and reporter.chance(0.2) else "kt"
            if kind == PLASMA and reporter.chance(0.07):
                key = "mk"
        return self.numerals.state(key, measured, error=reporter.chance(0.3))

    def _column(self) -> str:
        reporter = self.reporter
        measured = reporter.measure("nh", 0.15 * 2.5 ** reporter.random.random())
        lot = reporter.random.random()
        if lot < 0.4:
            return reporter.word(measured, PHRASES.absorption)
        if measured.value < 0.1 and lot < 0.7:
            return self.numerals.limit("column", measured)
        if lot < 0.55:
            return self.numerals.logarithm("column", measured)
        return self.numerals.state("column", measured, error=reporter.chance(0.15))

    def _power(self) -> str:
        facts, reporter = self.facts, self.reporter
        measured = reporter.measure("flux", 0.25 + 0.2 * reporter.random.random())
        lot = reporter.random.random()
        if lot < 0.3:
            return reporter.word(measured, PHRASES.brightness)
        key, scale = "flux", None
        if lot < 0.55 and self.hosted and facts.is_at_known_distance:
            key, measured = "luminosity", reporter.luminosity(measured)
        elif lot < 0.55 and self.has_redshift:
            key, scale = "luminosity", 1.0 / luminosity_over_flux(facts.redshift)
        if reporter.chance(0.35):
            return self.numerals.logarithm(key, measured, scale=scale)
        return self.numerals.state(key, measured, scale=scale)


def write(reporter: Reporter) -> dict[str, str]:
    """Write the note, each fragment under the section it belongs to."""
    source = _Note(reporter)
    sections = {"identity": source.identity(), "context": source.context()}
    sections["spectrum"] = source.spectrum()
    while sum(len(text.split()) for notes in sections.values() for text in notes) < _FEWEST:
        sections["context"].append(source.remark())
    separator = reporter.choose(PHRASES.separators)
    end = "." if reporter.chance(0.4) else ""
    capital = reporter.chance(0.4)
    texts: dict[str, str] = {}
    for section in ("identity", "spectrum", "context"):
        notes = sections[section]
        if separator == ". ":
            notes = [note.removesuffix(".") for note in notes]
        text = separator.join(notes)
        if text:
            first = text[0].upper() if capital else text[0]
            texts[section] = f"{first}{text[1:].removesuffix('.')}{end}"
    return texts


WRITER = Writer("catalogue_note", write, wrong=0.03, errors=1.1)
