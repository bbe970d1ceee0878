"""Build hooks that `pyproject.toml` cannot express: two packages under import names of their own.

The folders `training/` and `dataset_builders/` are imported as `specclip_training` and
`specclip_datasets`; the templates in `model_cards/` lie inside the package in a wheel.
"""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

FOLDERS = {"specclip_training": "training", "specclip_datasets": "dataset_builders"}


class BuildWithTemplates(build_py):
    """Copy `model_cards/*.md` into the package that is built."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "hf_specclip" / "model_cards"
        target.mkdir(parents=True, exist_ok=True)
        for template in sorted(Path("model_cards").glob("*.md")):
            self.copy_file(str(template), str(target / template.name))


packages = find_packages(include=["hf_specclip*"])
for name, folder in FOLDERS.items():
    packages += [name, *(f"{name}.{each}" for each in find_packages(folder))]

setup(packages=packages, package_dir=FOLDERS, cmdclass={"build_py": BuildWithTemplates})
