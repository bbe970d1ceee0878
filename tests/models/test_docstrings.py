"""Examples in the docstrings of the model files: they run and print what they show."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import hf_specclip.models

MODELS = Path(hf_specclip.models.__file__).parent
FILES = [path.stem for path in MODELS.glob("*_specclip*.py") if ">>>" in path.read_text("utf-8")]


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
