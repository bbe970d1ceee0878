"""Publishing to the Hugging Face Hub: one commit that is there whole, or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..version import __version__
from .cards import card_of, find_metrics, tagged
from .dataset_configs import DEFAULT, as_configuration
from .kinds import CARD_FILE, KINDS, METRICS_FILE, Kind, PublishError, files_of, without_places
from .spaces import metric_files, metric_folder, space_files

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
_CONFIG = re.compile(r"[A-Za-z0-9][\w-]*")
_KEPT = (".gitattributes",)
_PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
_STORAGE = ("storage limit", "storage quota", "quota")


@dataclass(frozen=True)
class Published:
    """What a push left on the Hub.

    Attributes:
        repo_id: `user/name`.
        url: of the repository.
        revision: branch that was written.
        commit: id of the commit that now is its tip.
        files: what it holds.
        created: whether the repository is new.
        changed: whether there was anything to write.
    """

    repo_id: str
    url: str
    revision: str
    commit: str
    files: tuple[str, ...]
    created: bool
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
    config: str | None = None,
    token: str | None = None,
) -> Published:
    """Put a model, a head, a dataset or a Space on the Hub, as one commit.

    Readers of the repository see what was there before until the commit is whole. Files of an
    earlier version that are no longer there go with the same commit. Running it again after an
    error sends only what is not there yet; with nothing changed, nothing is written.

    Args:
        kind: `model`, `moe`, `spectrum`, `outliers`, `dataset`, `metric` or `space`.
        folder: what is published. Only files that belong to the kind are.
        repo_id: `user/name`; made where it does not exist.
        private: make a new repository private.
        revision: branch to write, made from `main` where it does not exist; `main` by default.
        metrics: the `metrics.json` of the run, for the card; looked for in the folder and beside
            it. The folder's own card is held against it.
        model: for a Space, the published model it shows (default: `repo_id` as a model).
        config: for a dataset, the configuration it becomes, beside others in the same repository.
        token: of a user who may write there; by default the one that is logged in, or `HF_TOKEN`.

    Raises:
        PublishError: names what is wrong, what stands on the Hub, and the way out.
    """
    from huggingface_hub import HfApi

    chosen = _kind(kind)
    _check_name(repo_id)
    if config is not None and (chosen.name != "dataset" or not _CONFIG.fullmatch(config)):
        raise PublishError(
            f"config {config!r}: give a name of letters and digits to a dataset only"
        )
    api = HfApi(token=token, library_name="hf_specclip", library_version=__version__)
    contents = _contents(chosen, Path(folder), repo_id, metrics)
    user = _user(api)
    if chosen.name == "space":
        model = model or repo_id
        beside = _beside(api, model)
        contents = space_files(Path(folder), repo_id, model, api.endpoint, beside, metrics)
    created = _create(api, chosen, repo_id, private, user)
    if not created:
        with _told(f"{repo_id} could not be read"):
            _refuse_others(
                chosen, repo_id, api.repo_info(repo_id, repo_type=chosen.repo_type), private
            )
    branch = revision or "main"
    with _told(f"branch {branch} of {repo_id} could not be opened"):
        if branch != "main":
            api.create_branch(repo_id, branch=branch, repo_type=chosen.repo_type, exist_ok=True)
        info: Any = api.repo_info(repo_id, revision=branch, repo_type=chosen.repo_type)
    there = _files(info)
    head = str(info.sha)
    if chosen.name == "dataset":
        old = _card_there(api, repo_id, head) if CARD_FILE in there else None
        contents, there = as_configuration(contents, there, old, config or DEFAULT, repo_id)
    commit = _commit(api, chosen, repo_id, branch, head, contents, there - set(contents), user)
    return Published(
        repo_id=repo_id,
        url=f"{api.endpoint}/{_PREFIXES[chosen.repo_type]}{repo_id}",
        revision=branch,
        commit=commit,
        files=tuple(sorted(contents)),
        created=created,
        changed=commit != head,
    )


def check_login(repo_id: str, *, token: str | None = None) -> str:
    """See to it that a later push can work, before hours are spent on what it is to push.

    Args:
        repo_id: `user/name`, as `publish` takes it.
        token: as `publish` takes it.

    Returns:
        The user who is logged in.

    Raises:
        PublishError: the name is none, nobody is logged in, or the Hub does not know the token.
    """
    from huggingface_hub import HfApi

    _check_name(repo_id)
    return _user(HfApi(token=token, library_name="hf_specclip", library_version=__version__))


def _check_name(repo_id: str) -> None:
    if not _REPO_ID.fullmatch(repo_id):
        raise PublishError(f"{repo_id!r} is no name on the Hub: give user/name")


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise PublishError(f"{name!r} is none of {', '.join(KINDS)}")
    return KINDS[name]


def _contents(
    kind: Kind, folder: Path, repo_id: str, metrics: str | os.PathLike[str] | None
) -> dict[str, Path | bytes]:
    """The files of the repository, the card among them, before anything is asked of the Hub."""
    if kind.name == "space":  # rests on what is there
        find_metrics(folder, metrics)
        return {}
    contents: dict[str, Path | bytes]
    if kind.name == "metric":
        contents = metric_files(folder, repo_id)
        folder = metric_folder(folder)
    else:
        contents = dict(files_of(kind, folder))
        for name in [name for name in contents if Path(name).name == "config.json"]:
            contents[name] = without_places(folder / name)
    card, figures = card_of(kind, folder, repo_id, metrics)
    contents[CARD_FILE] = tagged(card, kind).encode()
    if figures is not None:
        contents[METRICS_FILE] = figures
    return contents


def _card_there(api: HfApi, repo_id: str, revision: str) -> str:
    with _told(f"the card of {repo_id} could not be read"):
        path = api.hf_hub_download(repo_id, CARD_FILE, repo_type="dataset", revision=revision)
        return Path(path).read_text(encoding="utf-8")


def _beside(api: HfApi, model: str) -> dict[str, str]:
    """What was published with a model: kind -> repository.

    Raises:
        PublishError: there is no such model.
    """
    with _told(f"{model} could not be looked for"):
        if not api.repo_exists(model):
            raise PublishError(
                f"there is no model {model} that the page could show: publish it first (specclip "
                "publish model), or name another with --model"
            )
        named = {kind: f"{model}-{kind}" for kind in ("moe", "outliers")}
        return {
            kind: name
            for kind, name in named.items()
            if api.repo_exists(name) and KINDS[kind].tag in (api.model_info(name).tags or ())
        }


def _user(api: HfApi) -> str:
    from huggingface_hub import get_token
    from huggingface_hub.errors import HfHubHTTPError

    if not (api.token or get_token()):
        raise PublishError(
            "nobody is logged in to the Hub: run `hf auth login`, or set HF_TOKEN to a token that "
            f"may write ({api.endpoint}/settings/tokens)"
        )
    try:
        return str(api.whoami()["name"])
    except HfHubHTTPError as error:
        if error.response is None or error.response.status_code != 401:
            raise _plain("the Hub could not be asked who you are", error) from None
        # Without the cause: a traceback would show the headers, and the token in them.
        raise PublishError(
            "the Hub does not know this token (it may have expired): make one that may write at "
            f"{api.endpoint}/settings/tokens, then `hf auth login` or HF_TOKEN"
        ) from None
    except Exception as error:
        raise _plain(f"{api.endpoint} does not answer", error) from None


def _create(api: HfApi, kind: Kind, repo_id: str, private: bool, user: str) -> bool:
    """Make the repository where it is not there; says whether it was made."""
    from huggingface_hub.errors import HfHubHTTPError

    sdk = {"metric": "static", "space": "gradio"}.get(kind.name)
    try:
        api.create_repo(repo_id, repo_type=kind.repo_type, private=private, space_sdk=sdk)
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status == 409:
            return False
        if status in (401, 403) and _exists(api, kind, repo_id):
            return False
        if status in (401, 403):
            owner = repo_id.split("/")[0]
            raise PublishError(
                f"{user} may not make {repo_id}: choose {user}/{repo_id.split('/')[1]}, or use a "
                f"token that may write for {owner}"
            ) from None
        raise _plain(f"{repo_id} could not be made", error) from None
    except Exception as error:
        raise _plain(f"{repo_id} could not be made", error) from None
    return True


def _exists(api: HfApi, kind: Kind, repo_id: str) -> bool:
    with _told(f"{repo_id} could not be looked for"):
        return api.repo_exists(repo_id, repo_type=kind.repo_type)


def _files(info: Any) -> set[str]:
    return {file.rfilename for file in info.siblings or ()} - set(_KEPT)


def _refuse_others(kind: Kind, repo_id: str, info: Any, private: bool) -> None:
    """An existing repository is written only when it holds the same kind of thing, or nothing."""
    if private and not info.private:
        raise PublishError(
            f"{repo_id} exists and everyone can read it: make it private in its settings first, or "
            "choose another name"
        )
    if not _files(info):
        return
    tags = set(info.tags or ()) | set((info.card_data or {}).get("tags") or ())
    if kind.tag in tags or (kind.name == "dataset" and "specclip" in tags):
        return
    other = next((k.name for k in KINDS.values() if k.tag in tags), None)
    what = f"a {other} of hf_specclip" if other else "something that hf_specclip did not publish"
    raise PublishError(
        f"the {kind.repo_type} {repo_id} exists and holds {what}, which a {kind.name} would "
        "replace: choose another name, or remove that repository first"
    )


def _commit(
    api: HfApi,
    kind: Kind,
    repo_id: str,
    branch: str,
    head: str,
    contents: Mapping[str, Path | bytes],
    gone: Iterable[str],
    user: str,
) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(name, content) for name, content in sorted(contents.items())
    ]
    operations += [CommitOperationDelete(name) for name in sorted(gone)]
    try:
        return api.create_commit(
            repo_id,
            operations,
            commit_message=f"Publish {kind.name} with hf_specclip {__version__}",
            repo_type=kind.repo_type,
            revision=branch,
            parent_commit=head,
        ).oid
    except Exception as error:  # a broken connection has many names, in several libraries
        failure = error if isinstance(error, HfHubHTTPError) else error.__cause__ or error
        status = getattr(getattr(failure, "response", None), "status_code", None)
        stands = f"{repo_id} is as it was ({branch} at {head[:7]})"
        words = str(failure).lower()
        if any(word in words for word in _STORAGE):
            raise PublishError(
                f"{repo_id.split('/')[0]} has no storage left on the Hub: free some at "
                f"{api.endpoint}/settings/storage, or choose another owner. {stands}"
            ) from None
        if status == 403:
            raise PublishError(
                f"{user} may not write to {repo_id}: use a token that may, or choose "
                f"{user}/{repo_id.split('/')[1]}. {stands}"
            ) from None
        if status == 412:
            raise PublishError(
                f"somebody else wrote to {repo_id} meanwhile: run this again to go on from there"
            ) from None
        if isinstance(error, ValueError) and "README" in str(error):
            raise PublishError(f"the Hub refuses the card: {error}. {stands}") from None
        raise PublishError(
            f"the push to {repo_id} broke off ({_first_line(failure)}): run it again, what has "
            f"arrived is not sent twice. {_state(api, kind, repo_id, branch, head)}"
        ) from None


def _state(api: HfApi, kind: Kind, repo_id: str, branch: str, head: str) -> str:
    """What the branch shows after a push that broke off, as far as it can be found out."""
    try:
        now = api.repo_info(repo_id, revision=branch, repo_type=kind.repo_type).sha
    except Exception:
        return f"{branch} was at {head[:7]} before it"
    if now == head:
        return f"{branch} is as it was, at {head[:7]}"
    return f"{branch} has moved to {str(now)[:7]}: the commit went through although no answer came"


class _told:
    """Turns errors of the client inside into a `PublishError` that begins with some words."""

    def __init__(self, words: str):
        self.words = words

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, PublishError):
            raise _plain(self.words, error) from None


def _plain(words: str, error: BaseException) -> PublishError:
    return PublishError(f"{words} ({_first_line(error)}); nothing was changed")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


__all__ = ["PublishError", "Published", "check_login", "publish"]
