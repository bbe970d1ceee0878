"""Safety checks on a downloaded checkpoint.

A configuration is untrusted data. It must not name code to run, nor files outside its own folder.
"""

import importlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

# 100 times the largest configuration that SpecCLIP writes (hundreds of experts).
MAX_CONFIG_BYTES = 1 << 22
MAX_INDEX_BYTES = 1 << 26
_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")
_REMEDY = "fetch or train the model again"
_CONFIG_FILES = ("config.json", "processor_config.json", "preprocessor_config.json")
# Settings by which transformers would load other weights or code; SpecCLIP never saves them.
_EXTERNAL_SETTINGS = ("quantization_config", "transformers_weights")


def package_module(name: str, purpose: str) -> Any:
    """Import a module of the installed package, which is not part of the saved code.

    Not an import statement, because transformers requires every package that saved code imports.

    Raises:
        ImportError: the package is not installed.
    """
    try:
        return importlib.import_module(f"hf_specclip.{name}")
    except ImportError as error:
        raise ImportError(f"{purpose} needs the package: pip install hf-specclip") from error


def refuse_foreign_settings(config: Any, location: str = "config.json") -> None:
    """Refuse a saved configuration with settings that would fetch or run external code or files.

    Args:
        config: parsed JSON, checked recursively.
        location: file and keys of `config`, for the message.

    Raises:
        ValueError: names the setting.
    """
    if isinstance(config, list):
        for number, item in enumerate(config):
            refuse_foreign_settings(item, f"{location}[{number}]")
    if not isinstance(config, Mapping):
        return
    for name, value in config.items():
        setting = str(name).lstrip("_").removesuffix("_internal")
        values = value.values() if isinstance(value, Mapping) else [value]
        if setting in _IMPLEMENTATIONS and any("/" in str(each) for each in values):
            raise ValueError(
                f"{location}: {name} {value!r} would download and run a kernel: remove it, and "
                f"pass {setting}= to from_pretrained if you trust it"
            )
        if setting in _EXTERNAL_SETTINGS and value is not None:
            raise ValueError(f"{location}: {name} is not a setting of SpecCLIP: remove it")
        refuse_foreign_settings(value, f"{location}, {name}")
    if config.get("text_encoder") is not None and config.get("text_encoder_config") is None:
        raise ValueError(
            f"{location}: text_encoder {config['text_encoder']!r} has no text_encoder_config, so "
            "it would be read from another place: save the model again with save_pretrained"
        )


def refuse_unsafe_folder(name_or_path: Any, subfolder: str = "") -> None:
    """Refuse a local folder with unsafe links or settings, or with pickled weights only.

    A name on the Hub is not checked: `huggingface_hub` decides where its files go.

    Raises:
        ValueError: names the file.
        OSError: there are weights, but not as safetensors.
    """
    folder = Path(os.fspath(name_or_path)) / subfolder
    if not folder.is_dir():
        return
    refuse_links_out(folder)
    if (folder / "adapter_config.json").exists():
        raise ValueError(
            f"{folder} contains adapter_config.json, which would load weights from another folder: "
            "SpecCLIP has no adapters, remove it"
        )
    for name in _CONFIG_FILES:
        _check_config_file(folder / name)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        _check_index(index)
    pickles = [path.name for path in folder.glob("*.bin")]
    if pickles and not any(folder.glob("*.safetensors")):
        raise OSError(
            f"{folder} has {', '.join(sorted(pickles)[:3])} and no model.safetensors: pickles are "
            "not read, because they can run any code. Convert the weights with "
            "safetensors.torch.save_file"
        )


def refuse_links_out(folder: Path, error: type[Exception] = ValueError) -> None:
    """Refuse a folder with a symbolic link to a file outside it.

    Raises:
        ValueError: or `error`; names the link.
    """
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not stays_inside(folder, path):
            raise error(f"{path} links to a file outside {folder}: replace the link by the file")


def stays_inside(folder: Path, path: Path) -> bool:
    """Return True if a path, with links resolved, lies in a folder.

    Snapshots of the Hub cache may link to the blobs of their repository.
    """
    root, target = folder.resolve(), path.resolve()
    if target.is_relative_to(root):
        return True
    snapshots = next((parent for parent in root.parents if parent.name == "snapshots"), None)
    return snapshots is not None and target.is_relative_to(snapshots.parent / "blobs")


class CheckedLoading:
    """Mixin whose `from_pretrained` refuses unsafe folders and names damaged files."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load from a folder or the Hub; see the other base class.

        Raises:
            ValueError: the folder is unsafe, or a file is damaged.
            OSError: a file is missing.
        """
        if pretrained_model_name_or_path is not None:
            refuse_unsafe_folder(pretrained_model_name_or_path, kwargs.get("subfolder") or "")
        with _explain_load_errors(pretrained_model_name_or_path):
            load: Any = super().from_pretrained  # type: ignore[misc]
            return load(pretrained_model_name_or_path, *args, **kwargs)


@contextmanager
def _explain_load_errors(name_or_path: Any) -> Iterator[None]:
    """Reraise errors about damaged files with a message that names the remedy.

    Raises:
        OSError: files are missing or cannot be read.
        ValueError: any other error.
    """
    try:
        yield
    except ImportError:
        raise
    except Exception as error:  # transformers, safetensors and JSON raise a dozen types
        local = name_or_path is not None and Path(os.fspath(name_or_path)).is_dir()
        if isinstance(error, OSError) and not local:
            raise  # the message of the Hub is better
        reason = " ".join(str(error).split()) or type(error).__name__
        error_type = OSError if isinstance(error, OSError) else ValueError
        raise error_type(f"{name_or_path} cannot be used ({reason}): {_REMEDY}") from error


def refuse_damaged_tensors(model: Any, info: Mapping[str, Any], name_or_path: Any) -> None:
    """Refuse a loaded model with missing, mismatched or non-finite tensors.

    Args:
        model: the model. A module may have a method `unknown` that masks where NaN or infinity is
            allowed.
        info: loading information of `from_pretrained`.
        name_or_path: for the message.

    Raises:
        ValueError: names the first such tensor.
    """
    faults = [f"lacks the tensor {name}" for name in sorted(info["missing_keys"])]
    faults += [
        f"has {name} of shape {tuple(shape)}, config.json says {tuple(expected)}"
        for name, shape, expected in sorted(info["mismatched_keys"])
    ]
    if not faults:
        saved = model.state_dict()
        for prefix, module in model.named_modules():
            unknown = module.unknown() if hasattr(module, "unknown") else {}
            for name, value in (*module._parameters.items(), *module._buffers.items()):
                full = f"{prefix}.{name}".lstrip(".")
                if full not in saved or value.is_meta or not value.is_floating_point():
                    continue
                if not (torch.isfinite(value) | unknown.get(name, False)).all():
                    faults.append(f"holds NaN or infinity in {full}")
    if faults:
        others = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise ValueError(f"{name_or_path} {faults[0]}{others}: {_REMEDY}")


def _check_config_file(path: Path) -> None:
    """Refuse a configuration file that is not a non-empty JSON object; values are checked later."""
    if not path.is_file():
        return
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ValueError(
            f"{path} is larger than {MAX_CONFIG_BYTES} bytes: it is not a file of SpecCLIP"
        )
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): {_REMEDY}") from error
    if not isinstance(settings, dict) or not settings:
        raise ValueError(f"{path} is not a JSON object with settings: {_REMEDY}")


def _check_index(path: Path) -> None:
    if path.stat().st_size > MAX_INDEX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_INDEX_BYTES} bytes")
    try:
        names = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is not an index of weights ({error}): save the model again"
        ) from error
    for name in names:
        plain = isinstance(name, str) and name == Path(name).name and "\\" not in name
        if not plain or not name.endswith(".safetensors"):
            raise ValueError(
                f"{path} names the file {name!r}: weights must be .safetensors in the same folder"
            )


__all__ = [
    "CheckedLoading",
    "package_module",
    "refuse_damaged_tensors",
    "refuse_foreign_settings",
    "refuse_links_out",
    "refuse_unsafe_folder",
    "stays_inside",
]
