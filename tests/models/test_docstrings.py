"""Examples in the docstrings of the model files: they run and print what they show."""

import doctest
import importlib
import re

import pytest

FILES = (
    "configuration_specclip",
    "configuration_specclip_ensemble",
    "configuration_specclip_moe",
    "feature_extraction_specclip",
    "loss_specclip",
    "modeling_specclip",
    "modeling_specclip_ensemble",
    "modeling_specclip_moe",
    "modeling_specclip_spectrum",
    "processing_specclip",
)


@pytest.mark.parametrize("file", FILES)
def test_examples(file):
    module = importlib.import_module(f"hf_specclip.models.{file}")
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    # A closing fence right below the output would be read as part of it.
    parser = doctest.DocTestParser()
    tried = 0
    for name in module.__all__:
        documented = getattr(module, name)
        text = re.sub(r"^\s*```(python)?\s*$", "", documented.__doc__ or "", flags=re.MULTILINE)
        if not callable(documented) or ">>>" not in text:
            continue
        runner.run(parser.get_doctest(text, {}, f"{module.__name__}.{name}", file, 0))
        tried += 1
    assert tried
    assert runner.summarize(verbose=False).failed == 0
