"""Package folders that lie outside the package: `pyproject.toml` cannot name subpackages of them.

`training/` and `dataset_builders/` are imported as `specclip_training` and `specclip_datasets`; the
wheel holds the card templates of `model_cards/` in `hf_specclip/hub/templates/`.
"""

from setuptools import find_packages, setup

FOLDERS = {"specclip_training": "training", "specclip_datasets": "dataset_builders"}
TEMPLATES = "hf_specclip.hub.templates"

packages = [*find_packages(include=["hf_specclip*"]), TEMPLATES]
for name, folder in FOLDERS.items():
    packages += [name, *(f"{name}.{each}" for each in find_packages(folder))]

setup(packages=packages, package_dir={**FOLDERS, TEMPLATES: "model_cards"})
