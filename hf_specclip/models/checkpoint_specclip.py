"""Safety checks on a downloaded checkpoint: settings and files that lead elsewhere.

A configuration is data that anyone may have written. Nothing in it may name code to be run, or
files outside the folder it came with.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

# The largest of our configurations, with hundreds of experts, is a hundredth of this.
MAX_CONFIG_BYTES = 1 << 22
MAX_INDEX_BYTES = 1 << 26
_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")
_MEND = "fetch or train the model again"
_SETTINGS = ("config.json", "processor_config.json", "preprocessor_config.json")
_ELSEWHERE = ("quantization_config", "transformers_weights")


def refuse_foreign_settings(config: Any, place: str = "config.json") -> None:
    """Refuse settings by which a saved configuration would fetch or run something else.

    Args:
        config: as read from JSON; checked at every level.
        place: where in it this is, for the message.

    Raises:
        ValueError: names the setting.
    """
    if isinstance(config, list):
        for number, item in enumerate(config):
            refuse_foreign_settings(item, f"{place}[{number}]")
    if not isinstance(config, Mapping):
        return
    for name, value in config.items():
        bare = str(name).lstrip("_").removesuffix("_internal")
        if bare in _IMPLEMENTATIONS and any("/" in str(each) for each in _values(value)):
            raise ValueError(
                f"{place}: {name} {value!r} would run a kernel fetched from elsewhere: remove it, "
                f"and give {bare}= to from_pretrained where you trust it"
            )
        if bare in _ELSEWHERE and value is not None:
            raise ValueError(f"{place}: {name} is nothing that SpecCLIP saves: remove it")
        refuse_foreign_settings(value, f"{place}, {name}")
    if config.get("text_encoder") is not None and config.get("text_encoder_config") is None:
        raise ValueError(
            f"{place}: text_encoder {config['text_encoder']!r} is without its "
            "text_encoder_config, so that loading would read elsewhere: save the model again with "
            "save_pretrained"
        )


def refuse_unsafe_folder(name_or_path: Any, subfolder: str = "") -> None:
    """Refuse a local folder whose files lead out of it, or whose weights are pickles alone.

    A name on the Hub is left to the Hub's client, which places files itself.

    Raises:
        ValueError: names the file.
        OSError: there are weights, and none in safetensors.
    """
    folder = Path(os.fspath(name_or_path)) / subfolder
    if not folder.is_dir():
        return
    refuse_links_out(folder)
    if (folder / "adapter_config.json").exists():
        raise ValueError(
            f"{folder} holds adapter_config.json, by which the weights of another folder would be "
            "loaded: SpecCLIP has no adapters, remove it"
        )
    for name in _SETTINGS:
        _check_settings(folder / name)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        _check_index(index)
    pickles = [path.name for path in folder.glob("*.bin")]
    if pickles and not any(folder.glob("*.safetensors")):
        raise OSError(
            f"{folder} holds {', '.join(sorted(pickles)[:3])} and no model.safetensors: pickles "
            "are not read, because a pickle can run any code. Convert the weights with "
            "safetensors.torch.save_file"
        )


def refuse_links_out(folder: Path, error: type[Exception] = ValueError) -> None:
    """Refuse a folder in which a link leads out of it.

    Raises:
        ValueError: or `error`; names the link.
    """
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not stays_inside(folder, path):
            raise error(f"{path} leads out of {folder}: put the file itself there")


def stays_inside(folder: Path, path: Path) -> bool:
    """Return True where a file reached through a folder lies in it, links followed.

    The snapshots of a Hub cache link to blobs beside them, which are the repository's own.
    """
    home, target = folder.resolve(), path.resolve()
    if target.is_relative_to(home):
        return True
    snapshots = next((each for each in home.parents if each.name == "snapshots"), None)
    return snapshots is not None and target.is_relative_to(snapshots.parent / "blobs")


class CheckedLoading:
    """Mixin whose `from_pretrained` refuses unsafe folders, and names what is damaged."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load from a folder or the Hub, as the class beside the mixin does.

        Raises:
            ValueError: the folder leads elsewhere, or a file is damaged.
            OSError: a file is absent.
        """
        if pretrained_model_name_or_path is not None:
            refuse_unsafe_folder(pretrained_model_name_or_path, kwargs.get("subfolder") or "")
        with _damage_named(pretrained_model_name_or_path):
            load: Any = super().from_pretrained  # type: ignore[misc]
            return load(pretrained_model_name_or_path, *args, **kwargs)


@contextmanager
def _damage_named(name_or_path: Any) -> Iterator[None]:
    """Turn errors about damaged files, of transformers and others, into one that names the mend.

    Raises:
        OSError: for files that are absent or cannot be read.
        ValueError: for all others.
    """
    try:
        yield
    except ImportError:
        raise
    except Exception as error:  # a dozen kinds, those of strict configurations among them
        local = name_or_path is not None and Path(os.fspath(name_or_path)).is_dir()
        if isinstance(error, OSError) and not local:
            raise  # the Hub's own words
        reason = " ".join(str(error).split()) or type(error).__name__
        kind = OSError if isinstance(error, OSError) else ValueError
        raise kind(f"{name_or_path} cannot be used ({reason}): {_MEND}") from error


def refuse_damaged_tensors(model: Any, info: Mapping[str, Any], name_or_path: Any) -> None:
    """Refuse a loaded model with tensors that were drawn at random, or that are not finite.

    Args:
        model: the model; its modules say in `unknown` where NaN or infinity are no damage.
        info: loading information of `from_pretrained`.
        name_or_path: for the message.

    Raises:
        ValueError: names the first such tensor.
    """
    faults = [f"lacks the tensor {name}" for name in sorted(info["missing_keys"])]
    faults += [
        f"holds {name} of shape {tuple(there)}, config.json says {tuple(wanted)}"
        for name, there, wanted in sorted(info["mismatched_keys"])
    ]
    if not faults:
        kept = model.state_dict()
        for prefix, module in model.named_modules():
            unknown = module.unknown() if hasattr(module, "unknown") else {}
            for name, value in (*module._parameters.items(), *module._buffers.items()):
                full = f"{prefix}.{name}".lstrip(".")
                if full not in kept or value.is_meta or not value.is_floating_point():
                    continue
                if not (torch.isfinite(value) | unknown.get(name, False)).all():
                    faults.append(f"holds NaN or infinity in {full}")
    if faults:
        others = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise ValueError(f"{name_or_path} {faults[0]}{others}: {_MEND}")


def _check_settings(path: Path) -> None:
    """Refuse settings that are no JSON object; their values are the reader's to check."""
    if not path.is_file():
        return
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ValueError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes: it is none of ours")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): {_MEND}") from error
    if not isinstance(settings, dict) or not settings:
        raise ValueError(f"{path} is no JSON object with settings: {_MEND}")


def _check_index(path: Path) -> None:
    if path.stat().st_size > MAX_INDEX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_INDEX_BYTES} bytes")
    try:
        names = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is no index of weights ({error}): save the model again"
        ) from error
    for name in names:
        plain = isinstance(name, str) and name == Path(name).name and "\\" not in name
        if not plain or not name.endswith(".safetensors"):
            raise ValueError(
                f"{path} names the file {name!r}: weights lie beside it, as .safetensors"
            )


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else [value]


__all__ = [
    "CheckedLoading",
    "refuse_damaged_tensors",
    "refuse_foreign_settings",
    "refuse_links_out",
    "refuse_unsafe_folder",
    "stays_inside",
]
