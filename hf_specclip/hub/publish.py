"""Publishing of models, datasets and Spaces on the Hugging Face Hub, one commit each."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import SpecCLIPError
from ..models.checkpoint_specclip import stays_inside
from ..storage import read_json
from ..version import __version__
from .cards import CARD_FILE, METRICS_FILE, PublishError, dataset_card, make_card, with_tag
from .spaces import metric_files, space_files

_WEIGHTS = ("config.json", "model*.safetensors", "model.safetensors.index.json", "*.py")
_DETECTOR = ("detector.json", "detector.safetensors", "reference.jsonl")
_URL_PREFIX = {"model": "", "dataset": "datasets/", "space": "spaces/"}
_ADVICE = {
    401: "log in with `hf auth login`, or set HF_TOKEN to a token that may write",
    403: "use a token that may write there, choose a name of your own, or free storage",
    412: "somebody else wrote to it meanwhile; run this again",
}


@dataclass(frozen=True)
class Kind:
    """Type of artifact and the files that belong to it.

    Attributes:
        repo_type: `model`, `dataset` or `space`.
        needed: patterns of files that must be there.
        optional: patterns of files that are published where they are there. Everything else stays
            at home: secrets, optimizer states, and pickles, which run code where they are read.
        model_types: values of `model_type` in `config.json`; empty without such a file.
    """

    repo_type: str
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    model_types: tuple[str, ...] = ()


KINDS = {
    "model": Kind(
        "model",
        ("config.json", "model*.safetensors", "*processor_config.json"),
        (
            *_WEIGHTS, "tokenizer*.json", "vocab.json", "vocab.txt", "special_tokens_map.json",
            "merges.txt", "gallery/*.json*", "gallery/*.safetensors",
            *(f"{part}/*.{kind}" for part in ("zero_shot", "classifier", "vocabulary")
              for kind in ("json", "safetensors")),
            *(f"moe/{name}" for name in _WEIGHTS), *(f"outliers/{name}" for name in _DETECTOR),
        ),
        ("specclip", "specclip_ensemble"),
    ),
    "moe": Kind("model", ("config.json", "model*.safetensors"), _WEIGHTS, ("specclip_moe",)),
    "spectrum": Kind(
        "model",
        ("config.json", "model*.safetensors", "preprocessor_config.json"),
        _WEIGHTS,
        ("specclip_spectrum",),
    ),
    "outliers": Kind("model", _DETECTOR),
    "dataset": Kind(
        "dataset",
        ("data/*.parquet",),
        ("specclip_dataset.json", "embedded/*.parquet", "spectra/*.parquet"),
    ),
    "metric": Kind("space", ()),
    "space": Kind("space", ()),
}  # fmt: skip


@dataclass(frozen=True)
class Published:
    """Result of a push.

    Attributes:
        url: of the repository.
        revision: the branch that was written.
        commit: its newest commit.
        files: names of the files of the artifact.
        changed: False if the Hub held the same files already.
    """

    url: str
    revision: str
    commit: str
    files: tuple[str, ...]
    changed: bool


def publish(
    kind: str,
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    metrics: str | os.PathLike[str] | None = None,
    model: str | None = None,
    token: str | None = None,
) -> Published:
    """Push a model, a head, a dataset or a Space to the Hub as one commit.

    The commit also removes files of an earlier version that are gone. After an error, run it
    again: only what is missing is sent.

    Args:
        kind: a name of `KINDS`.
        folder: the artifact; for a Space, the run.
        repo_id: `user/name`; created if it does not exist.
        private: create a private repository.
        revision: branch to write, created from `main` if it does not exist; default `main`.
        metrics: `metrics.json` of the run, for the card; default: in the folder or the one above.
        model: for a Space, the published model it shows; default `repo_id`.
        token: of a user who may write there; default: the one logged in, or `HF_TOKEN`.

    Raises:
        PublishError: for a folder that lacks files or measured results, an edited card that states
            other numbers, or a refusal by the Hub.
    """
    if kind not in KINDS:
        raise PublishError(f"{kind!r} is none of {', '.join(KINDS)}")
    folder, repo_type = Path(folder), KINDS[kind].repo_type
    files = {} if kind == "space" else _collect(kind, folder, repo_id, metrics)
    check_login(repo_id, token=token)
    api = _api(token)
    if kind == "space":
        files = space_files(folder, repo_id, *_models_shown(api, model or repo_id), metrics)
    files[CARD_FILE] = with_tag(_read(files[CARD_FILE]), f"specclip-{kind}").encode()
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    with _hub_errors(repo_id):
        sdk = {"metric": "static", "space": "gradio"}.get(kind)
        api.create_repo(repo_id, repo_type=repo_type, private=private, space_sdk=sdk, exist_ok=True)
        _check_repository(kind, repo_id, api.repo_info(repo_id, repo_type=repo_type), private)
        if revision:
            api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        info = api.repo_info(repo_id, revision=revision, repo_type=repo_type)
        stale = _files_in(info) - set(files)
        commit = api.create_commit(
            repo_id,
            [*(CommitOperationAdd(name, content) for name, content in sorted(files.items())),
             *(CommitOperationDelete(name) for name in sorted(stale))],
            commit_message=f"Publish {kind} with hf_specclip {__version__}",
            repo_type=repo_type,
            revision=revision,
            parent_commit=info.sha,
        ).oid  # fmt: skip
    url = f"{api.endpoint}/{_URL_PREFIX[repo_type]}{repo_id}"
    return Published(url, revision or "main", commit, tuple(sorted(files)), commit != info.sha)


def check_login(repo_id: str, *, token: str | None = None) -> str:
    """Check the name and the token before hours are spent on training.

    Args:
        repo_id: `user/name`.
        token: as for `publish`.

    Returns:
        The name of the user who is logged in.

    Raises:
        PublishError: for a malformed name, or a token that is missing or refused.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise PublishError(f"{repo_id!r} is not a repository name: give user/name")
    with _hub_errors(repo_id):
        return str(_api(token).whoami()["name"])


def files_to_publish(kind: str, folder: Path) -> dict[str, Path]:
    """Return the files of an artifact, by their path in the repository; the card is not included.

    Raises:
        PublishError: for a missing file, one outside the folder, or a model of another type.
    """
    if not folder.is_dir():
        raise PublishError(f"there is no folder {folder}")
    if KINDS[kind].model_types and (folder / "config.json").is_file():
        _check_config(kind, folder)
    files: dict[str, Path] = {}
    for pattern in (*KINDS[kind].needed, *KINDS[kind].optional):
        matches = [path for path in folder.glob(pattern) if not path.name.startswith(".")]
        files |= {path.relative_to(folder).as_posix(): path for path in matches if path.is_file()}
        if not matches and pattern in KINDS[kind].needed:
            subfolders = sorted(path.parent.name for path in folder.glob("*/config.json"))
            hint = f"; did you mean one of its folders {', '.join(subfolders)}?" * bool(subfolders)
            raise PublishError(f"{folder} has no {pattern}, which a {kind} needs{hint}")
    for path in files.values():
        if not stays_inside(folder, path):
            raise PublishError(f"{path} leads out of {folder}: put the file itself there")
    return files


def _collect(
    kind: str, folder: Path, repo_id: str, metrics: str | os.PathLike[str] | None
) -> dict[str, Path | bytes]:
    """Return the content of the repository, card and metrics included."""
    if kind == "metric":
        return metric_files(folder, repo_id)
    files: dict[str, Path | bytes] = dict(files_to_publish(kind, folder))
    for name in files:
        if PurePosixPath(name).name == "config.json":
            files[name] = _without_local_paths(folder / name)
    if kind == "dataset":
        files[CARD_FILE] = dataset_card(folder, repo_id).encode()
    else:
        card, figures = make_card(kind, folder, repo_id, metrics)
        files[CARD_FILE], files[METRICS_FILE] = card.encode(), figures
    return files


def _check_config(kind: str, folder: Path) -> None:
    """Check the model's type, and that the code which `trust_remote_code` needs is there."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model_type, classes = config.get("model_type"), config.get("auto_map") or {}
        modules = sorted({f"{name.split('.')[0]}.py" for name in classes.values()})
    except (ValueError, AttributeError, RecursionError) as error:
        raise PublishError(f"{folder}/config.json is not a configuration: {error}") from error
    if model_type not in KINDS[kind].model_types:
        right = [name for name, other in KINDS.items() if model_type in other.model_types]
        hint = f": specclip publish {right[0]}" if right else ""
        raise PublishError(f"{folder} holds a {model_type!r} model, which is no {kind}{hint}")
    missing = [name for name in modules if not (folder / name).is_file()]
    if not modules or missing:
        raise PublishError(
            f"{folder} lacks the code of its classes ({', '.join(missing)}): save the model again "
            "with save_pretrained"
        )


def _without_local_paths(path: Path) -> bytes:
    """Return a `config.json` without the folders of the machine it was made on."""
    read_json(path)  # refuses what is no configuration
    text = path.read_text(encoding="utf-8")
    config = json.loads(
        text, object_hook=lambda pairs: {k: v for k, v in pairs.items() if k != "_name_or_path"}
    )
    return text.encode() if config == json.loads(text) else json.dumps(config, indent=2).encode()


def _models_shown(api: Any, model: str) -> tuple[str, dict[str, str]]:
    """Return a published model, and the repositories of its experts and detector by kind."""
    with _hub_errors(model):
        if not api.repo_exists(model):
            raise PublishError(f"there is no model {model}: publish it first, or name it (--model)")
        heads = {kind: f"{model}-{kind}" for kind in ("moe", "outliers")}
        return model, {kind: name for kind, name in heads.items() if api.repo_exists(name)}


def _check_repository(kind: str, repo_id: str, info: Any, private: bool) -> None:
    """Refuse to write over something else, or to put private data into a public repository."""
    if private and not info.private:
        raise PublishError(f"{repo_id} exists and is public: make it private first")
    tags = {*(info.tags or ()), *((info.card_data or {}).get("tags") or ())}
    same = f"specclip-{kind}" in tags or (kind == "dataset" and "specclip" in tags)
    if _files_in(info) and not same:
        raise PublishError(
            f"{repo_id} exists and holds no {kind} of hf_specclip: choose a new name"
        )


def _files_in(info: Any) -> set[str]:
    return {file.rfilename for file in info.siblings or ()} - {".gitattributes"}


def _read(content: Path | bytes) -> str:
    return (content if isinstance(content, bytes) else content.read_bytes()).decode()


def _api(token: str | None) -> Any:
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name="hf_specclip", library_version=__version__)


@contextmanager
def _hub_errors(repo_id: str) -> Iterator[None]:
    """Turn errors of the Hub's client into `PublishError`s with advice."""
    try:
        yield
    except SpecCLIPError:
        raise
    except Exception as error:  # the client raises those of several libraries
        cause = error if getattr(error, "response", None) is not None else error.__cause__ or error
        status = getattr(getattr(cause, "response", None), "status_code", None)
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        advice = _ADVICE.get(status or 0, "run it again; what has arrived is not sent twice")
        if type(error).__name__ == "LocalTokenNotFoundError":
            advice = _ADVICE[401]
        # Without the cause: a traceback would show the headers, and the token in them.
        reason = "; ".join(lines[:3]) or type(cause).__name__
        raise PublishError(f"{repo_id} was not published ({reason}): {advice}") from None
