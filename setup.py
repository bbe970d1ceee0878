"""The templates of the cards lie beside the package; the wheel has them inside it."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithTemplates(build_py):
    """Copies `model_cards/*.md` into the package that is built."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "hf_specclip" / "model_cards"
        target.mkdir(parents=True, exist_ok=True)
        for template in sorted(Path("model_cards").glob("*.md")):
            self.copy_file(str(template), str(target / template.name))


setup(cmdclass={"build_py": BuildWithTemplates})
