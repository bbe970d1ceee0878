"""Several datasets in one repository: each configuration in its folder, all named on one card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .kinds import CARD_FILE, PublishError

DEFAULT = "default"
_HEADING = "## Configurations"


def as_configuration(
    contents: Mapping[str, Path | bytes],
    there: set[str],
    card_there: str | None,
    config: str,
    repo_id: str,
) -> tuple[dict[str, Path | bytes], set[str]]:
    """Make room for a dataset among the configurations of a repository.

    The default configuration lies at the top, where its card is the repository's; others lie in a
    folder of their name, with their own card.

    Args:
        contents: the dataset's files, its card among them.
        there: what the repository holds.
        card_there: its card, or None.
        config: which configuration this is to be.
        repo_id: for the table of configurations.

    Returns:
        The files under their names in the repository, and those of `there` that belong to this
        configuration.

    Raises:
        PublishError: the repository's card cannot be read.
    """
    from huggingface_hub import RepoCard

    def parsed(text: str) -> Any:
        try:
            return RepoCard(text)
        except ValueError as error:
            raise PublishError(
                f"the card of {repo_id} cannot be read ({error}): mend its front matter there"
            ) from error

    own = parsed(_text(contents[CARD_FILE]))
    old = None if card_there is None else parsed(card_there)
    named = own.data.get("configs") or _by_name(contents)
    # A build from the sky brings configurations of its own beside the pairs; a single one is
    # the pairs, whatever it is called.
    brought = {str(entry.get("config_name")) for entry in named if len(named) > 1} - {DEFAULT}
    replaced = {config, *brought} if config == DEFAULT else {config}
    others = [
        entry
        for entry in (old.data.get("configs") if old else None) or []
        if isinstance(entry, dict) and entry.get("config_name") not in (None, *replaced)
    ]
    folders = tuple(
        f"{entry['config_name']}/" for entry in others if entry["config_name"] != DEFAULT
    )
    if config == DEFAULT:
        placed: dict[str, Path | bytes] = dict(contents)
        belongs = {name for name in there if not name.startswith(folders or ("\0",))}
        front = own
    else:
        # Under another name, a dataset is its pairs alone.
        left = tuple(f"{name}/" for name in brought)
        placed = {f"{config}/{n}": c for n, c in contents.items() if not n.startswith(left)}
        belongs = {name for name in there if name.startswith(f"{config}/")}
        front = old or own
    without = [n for n in sorted(brought) if not any(c.startswith(f"{n}/") for c in contents)]
    if without or len(named) != len(brought) + 1:
        raise PublishError(
            f"the card names {len(named)} configurations: publish the folders of each one by "
            "itself, with --config"
        )
    entries = [
        entry if entry.get("config_name") in brought else _moved(entry, config)
        for entry in named
        if config == DEFAULT or entry.get("config_name") not in brought
    ]
    front.data["configs"] = sorted([*others, *entries], key=lambda e: e["config_name"] != DEFAULT)
    names = [entry["config_name"] for entry in front.data["configs"]]
    placed[CARD_FILE] = _with_table(str(front.content), names, repo_id).encode()
    return placed, belongs


def _text(content: Path | bytes) -> str:
    data = content if isinstance(content, bytes) else content.read_bytes()
    return data.decode("utf-8")


def _moved(entry: Mapping[str, Any], config: str) -> dict[str, Any]:
    """The files of a configuration under its name."""
    folder = "" if config == DEFAULT else f"{config}/"
    files = [
        {**item, "path": [f"{folder}{path}" for path in _listed(item["path"])]}
        for item in entry["data_files"]
    ]
    return {"config_name": config, "data_files": files}


def _by_name(contents: Mapping[str, Path | bytes]) -> list[dict[str, Any]]:
    """One configuration of the splits that the files are named after, for a card without any."""
    splits = sorted(
        {Path(name).name.split("-")[0] for name in contents if name.endswith(".parquet")}
    )
    files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits]
    return [{"config_name": DEFAULT, "data_files": files}]


def _listed(path: str | list[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)


def _with_table(card: str, names: list[str], repo_id: str) -> str:
    """The card with its list of configurations, where there is more than the default one."""
    card = re.sub(rf"\n{_HEADING}\n.*?(?=\n## |\Z)", "", card, flags=re.DOTALL).rstrip() + "\n"
    if names == [DEFAULT]:
        return card
    lines = [
        f'- `load_dataset("{repo_id}", "{name}")`'
        + ("" if name == DEFAULT else f": [its card]({name}/{CARD_FILE})")
        for name in names
    ]
    return f"{card}\n{_HEADING}\n\n" + "\n".join(lines) + "\n"


__all__ = ["DEFAULT", "as_configuration"]
