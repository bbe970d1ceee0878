"""Names of the classes of X-ray sources."""

import pytest

from hf_specclip.literature import (
    FAMILIES,
    class_names,
    find_class,
    mentioned_classes,
    source_classes,
)


def test_each_class_has_a_family_and_distinct_names():
    classes = source_classes()
    assert len({each.label for each in classes}) == len(classes) > 30
    assert {each.family for each in classes} == {*FAMILIES, ""}
    for each in classes:
        phrases = [phrase.lower() for phrase in (*each.names, *each.synonyms)]
        assert each.names, each.label
        assert len(set(phrases)) == len(phrases), each.label
        assert find_class(each.label) is each


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ("seyfert1", "Seyfert_1"),
        ("TDE_Candidate", "TDE"),
        ("LMXB?", "LMXB"),
        ("Y*O", "YSO"),
        ("*", "Star"),
        ("Sy*", "Symbiotic"),
        ("SyG", "Seyfert"),
        ("HighMassXBin", "HMXB"),
        ("quasar", "QSO"),
    ],
)
def test_labels_and_simbad_types_are_found(label, wanted):
    assert find_class(label).label == wanted


def test_unknown_labels_name_themselves():
    assert find_class("zz9") is find_class("") is None
    assert class_names("Some_Odd*") == ("a Some Odd",)


@pytest.mark.parametrize(
    ("name", "article"),
    [("LMXB", "an LMXB"), ("ULX_pulsar", "a ULX pulsar"), ("OB*", "an OB star"),
     ("LINER", "a LINER galaxy"), ("HotGas", "diffuse hot gas"), ("SNR", "a supernova remnant")],
)  # fmt: skip
def test_names_have_their_article(name, article):
    assert article in class_names(name)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("low mass xray binaries", {"LMXB"}),
        ("two type-2 AGN", {"Seyfert_2"}),
        ("a few QSOs", {"QSO", "LensedQ"}),
        ("active nuclei of galaxies", {*mentioned_classes("AGN")[0].labels, "Galaxy"}),
        ("Be/X-ray\nbinary", {"HMXB"}),
        ("dwarf novae", {"CV*"}),
        ("CVs", {"CV*", "MagCV"}),
        ("cv", {"CV*", "MagCV"}),
        ("A pulsar wind nebula", {"PWN"}),
        ("Supernovae leave supernova remnants", {"SN*", "SNR"}),
        ("an X-ray, binary", set()),
        ("stars", {"Star", "OB*", "Be*", "WR*", "YSO"}),
        ("a star-forming region, a black body and their Cv", set()),
    ],
)
def test_phrases_name_classes(text, wanted):
    mentions = mentioned_classes(text)
    assert {label for mention in mentions for label in mention.labels} == wanted
    assert all(text[m.start : m.stop] == m.phrase for m in mentions)
