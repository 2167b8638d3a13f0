"""The network that is measured, and the inputs that it is fed.

A model is named by a hub id, a local directory, or ``config:NAME``: a known architecture with seeded random
weights, for hosts that reach no hub (a program's speed does not depend on its weights). Only `load` needs
torch and transformers; everything else answers in milliseconds.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchlib.checksums import file_sha256
from benchlib.errors import BadInput
from benchlib.spec import MODEL_ALLOWED, ModelSpec

if TYPE_CHECKING:
    import torch

Pairs = tuple[tuple[str, str], ...]

CONFIG_PREFIX = "config:"
INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids")
INPUT_DTYPE = "int64"

SENTENCES = (
    "The nightly run finished an hour early, so the comparison was ready before breakfast.",
    "Because the night's run ended sooner than planned, the figures were there in the morning.",
)

_BERT_BASE: Mapping[str, Any] = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
KNOWN_CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "bert-base-cased": {**_BERT_BASE, "vocab_size": 28996},
    "bert-base-uncased": _BERT_BASE,
    "bert-large-uncased": {
        **_BERT_BASE,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
    "bert-tiny": {
        **_BERT_BASE,
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 512,
    },
    "distilbert-base-uncased": {
        "model_type": "distilbert",
        "vocab_size": 30522,
        "dim": 768,
        "n_layers": 6,
        "n_heads": 12,
        "hidden_dim": 3072,
        "max_position_embeddings": 512,
    },
}
"""Architectures as published with the models of these names; ``bert-tiny`` is for tests."""

WEIGHT_PATTERNS = ("*.safetensors", "*.bin")
HUB_FILES = ("*.json", "*.txt", "*.model", *WEIGHT_PATTERNS)
HUB_TIMEOUT_S = 10.0
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json")


@dataclass(frozen=True)
class LoadedModel:
    """A network and one batch for it.

    ``module`` is in evaluation mode, fp32, on the CPU, and returns one tensor: the logits, shape
    (batch size, labels), or an encoder's last hidden state, shape (batch size, sequence length, hidden size).
    ``example`` holds the tensors of `input_shapes`, in that order.
    """

    module: torch.nn.Module
    example: tuple[torch.Tensor, ...]


def input_shapes(spec: ModelSpec, batch_size: int) -> Pairs:
    """Name, and dtype with shape, of each input in calling order: ("input_ids", "int64[4,128]")."""
    is_text = spec.inputs == "text"
    shape = f"{INPUT_DTYPE if is_text else 'int32'}[{batch_size},{spec.sequence_length}]"
    return tuple((name, shape) for name in (INPUT_NAMES if is_text else INPUT_NAMES[:2]))


def check(spec: ModelSpec) -> None:
    """Refuse a model that cannot be loaded, as far as that shows without loading it.

    Raises:
        BadInput: unknown name, directory without weights, unreachable hub, sequence too long.
    """
    if spec.revision is not None and not _is_hub_id(spec):
        raise BadInput("revision", spec.revision, "none: only a model of the hub has revisions")
    longest = _longest_sequence(_config(spec))
    if longest is not None and spec.sequence_length > longest:
        raise BadInput("sequence_length", spec.sequence_length, f"at most {longest} tokens for {spec.name}")


def identity(spec: ModelSpec) -> Pairs:
    """What makes this the same network next time: (name, value) pairs.

    Weight files count by their content, a hub model by its commit, a known configuration by itself. The
    seed always counts: it also draws the classification head of a checkpoint that has none. What a sweep
    seldom asks for counts only when it does, so that programs of earlier releases are still found.

    Raises:
        BadInput: as `check`.
    """
    rest = (("seed", str(spec.seed)), *_asked_for(spec))
    if _is_config(spec):
        return ("config", json.dumps(_config(spec), sort_keys=True)), *rest
    if _is_hub_id(spec):
        return ("hub", spec.name), ("commit", _hub_commit(spec)), *rest
    directory = _directory(spec)
    files = [directory / "config.json", *_weights(directory)]
    return *((path.name, file_sha256(path)) for path in files), *rest


def _asked_for(spec: ModelSpec) -> Pairs:
    found = spec.model_dump(include={"head", "inputs"}, exclude_defaults=True)
    return tuple((name, str(found[name])) for name in sorted(found))


def load(spec: ModelSpec, batch_size: int) -> LoadedModel:
    """Load the network with its head, or without, and one batch of example inputs.

    Text is a pair of sentences, tokenised where the model brings a tokenizer, else valid ids in the same
    layout; every row of the batch is the same.

    Raises:
        BadInput: as `check`, or transformers cannot make such a network of it.
    """
    import torch
    from safetensors import SafetensorError

    check(spec)
    torch.manual_seed(spec.seed)
    folder = None if _is_config(spec) else _folder(spec, weights=True)
    try:
        model = (_from_folder(folder, spec) if folder else _from_config(_config(spec), spec)).float().eval()
        is_text = spec.inputs == "text"
        example = _text(spec, folder, batch_size) if is_text else _zeros(spec, batch_size)
    except (OSError, ValueError, SafetensorError) as error:
        raise BadInput("model", spec.name, f"{MODEL_ALLOWED} ({_first_line(error)})") from error
    return LoadedModel(_one_tensor(model), example)


def _is_config(spec: ModelSpec) -> bool:
    return spec.name.startswith(CONFIG_PREFIX)


def _is_hub_id(spec: ModelSpec) -> bool:
    is_path = spec.name.startswith(("/", ".", "~")) or Path(spec.name).is_dir()
    return not (_is_config(spec) or is_path)


def _config(spec: ModelSpec) -> Mapping[str, Any]:
    if _is_config(spec):
        known = KNOWN_CONFIGS.get(spec.name.removeprefix(CONFIG_PREFIX))
        if known is None:
            raise BadInput("model", spec.name, ", ".join(CONFIG_PREFIX + name for name in KNOWN_CONFIGS))
        return known
    text = (_folder(spec) / "config.json").read_text()
    try:
        config: Mapping[str, Any] = json.loads(text)
    except ValueError as error:
        raise BadInput("model", spec.name, f"a model whose config.json is valid JSON ({error})") from error
    return config


def _folder(spec: ModelSpec, *, weights: bool = False) -> Path:
    """Where config.json lies; with ``weights`` a hub model's other files have been fetched too."""
    if not _is_hub_id(spec):
        return _directory(spec)
    return _from_hub(spec, HUB_FILES if weights else ("config.json",))


def _directory(spec: ModelSpec) -> Path:
    directory = Path(spec.name).expanduser()
    if not directory.is_dir():
        raise BadInput("model", spec.name, f"{MODEL_ALLOWED}; there is no such directory")
    if not (directory / "config.json").is_file():
        raise BadInput("model", spec.name, f"{MODEL_ALLOWED}; this directory has no config.json")
    if not _weights(directory):
        wanted = " or ".join(WEIGHT_PATTERNS)
        raise BadInput("model", spec.name, f"{MODEL_ALLOWED}; this is a directory without weights ({wanted})")
    return directory


def _weights(directory: Path) -> list[Path]:
    """The weight files that transformers would read: safetensors win."""
    return next((found for p in WEIGHT_PATTERNS if (found := sorted(directory.glob(p)))), [])


@lru_cache
def _hub_commit(spec: ModelSpec) -> str:
    """The commit that the revision stands for, looked up once: a branch may move while this process runs."""
    from huggingface_hub import HfApi, hf_hub_download

    unreached: Exception | None = None
    try:  # one request, because a download would try again for half a minute before it gives up
        HfApi().model_info(spec.name, revision=spec.revision, timeout=HUB_TIMEOUT_S)
    except Exception as error:  # which HTTP library raises depends on the hub client's version
        unreached = error
    try:
        config = hf_hub_download(
            spec.name, "config.json", revision=spec.revision, local_files_only=unreached is not None
        )
    except (OSError, ValueError) as error:
        raise _not_on_hub(spec, unreached or error) from error
    return Path(config).parent.name


def _from_hub(spec: ModelSpec, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    commit = _hub_commit(spec)
    try:
        return Path(snapshot_download(spec.name, revision=commit, allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:
        raise _not_on_hub(spec, error) from error


def _not_on_hub(spec: ModelSpec, error: Exception) -> BadInput:
    why = f"the hub has no such model or was not reached ({type(error).__name__})"
    return BadInput("model", spec.name, f"{MODEL_ALLOWED}; {why}")


def _longest_sequence(config: Mapping[str, Any]) -> int | None:
    longest = config.get("max_position_embeddings")
    if longest is None:
        return None
    # These number their positions from the padding token's id on.
    offset = config.get("pad_token_id", 1) + 1 if "roberta" in config.get("model_type", "") else 0
    return int(longest) - offset


def _from_config(known: Mapping[str, Any], spec: ModelSpec) -> Any:
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()  # a config made from code draws warnings about fields that hub files have
    fields = dict(known)
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    return _kind(spec).from_config(config, **_attention(spec))


def _from_folder(folder: Path, spec: ModelSpec) -> Any:
    from transformers.utils import logging

    logging.disable_progress_bar()
    return _kind(spec).from_pretrained(str(folder), **_attention(spec))


def _kind(spec: ModelSpec) -> Any:
    import transformers

    is_encoder = spec.head == "encoder"
    return transformers.AutoModel if is_encoder else transformers.AutoModelForSequenceClassification


def _attention(spec: ModelSpec) -> Mapping[str, str]:
    # A mask of zeros leaves nothing to attend to. Fused attention makes NaN of that in some versions; the
    # plain one adds one large negative number everywhere, which a softmax takes away again.
    return {"attn_implementation": "eager"} if spec.inputs == "zeros_int32" else {}


def _one_tensor(model: Any) -> Any:
    """The same network, taking two or all of `INPUT_NAMES` in order and returning its first output alone.

    Compilers want plain tensors, and the containers that transformers returns differ between versions.
    """
    import torch

    has_segments = "token_type_ids" in inspect.signature(model.forward).parameters

    class FirstOutput(torch.nn.Module):  # type: ignore[misc]  # torch has no types where this is checked
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> torch.Tensor:
            given = has_segments and token_type_ids is not None
            segments = {"token_type_ids": token_type_ids} if given else {}
            return self.model(input_ids, attention_mask=attention_mask, return_dict=False, **segments)[0]

    return FirstOutput().eval()


def _zeros(spec: ModelSpec, batch_size: int) -> tuple[torch.Tensor, ...]:
    import torch

    shape = (batch_size, spec.sequence_length)
    return torch.zeros(shape, dtype=torch.int32), torch.zeros(shape, dtype=torch.int32)


def _text(spec: ModelSpec, folder: Path | None, batch_size: int) -> tuple[torch.Tensor, ...]:
    import torch

    row = _tokenised(folder, spec.sequence_length) if folder else None
    row = row or _synthetic_row(spec.sequence_length, _config(spec))
    return tuple(torch.tensor([row[name]], dtype=torch.int64).repeat(batch_size, 1) for name in INPUT_NAMES)


def _tokenised(folder: Path, length: int) -> Mapping[str, list[int]] | None:
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return None
    from transformers import AutoTokenizer

    encoded: Mapping[str, list[int]] = AutoTokenizer.from_pretrained(str(folder))(
        *SENTENCES,
        max_length=length,
        padding="max_length",
        truncation=True,
        return_token_type_ids=True,
    )
    return encoded


def _synthetic_row(length: int, config: Mapping[str, Any]) -> dict[str, list[int]]:
    """``[CLS] a [SEP] b [SEP]`` with as many words as `SENTENCES`, padded or cut to ``length``."""
    words = [min(len(sentence.split()), (length - 3) // 2) for sentence in SENTENCES]
    used = sum(words) + 3
    vocabulary = int(config.get("vocab_size", 30522))
    cls, sep = (101, 102) if vocabulary > 1000 else (1, 2)
    first = min(1000, vocabulary // 2)
    ids = [first + i * 7 % (vocabulary - first) for i in range(sum(words))]
    row = [cls, *ids[: words[0]], sep, *ids[words[0] :], sep]
    second = min(1, int(config.get("type_vocab_size", 2)) - 1)
    segments = [0] * (words[0] + 2) + [second] * (words[1] + 1)
    padding = [0] * (length - used)
    return {
        "input_ids": row + [int(config.get("pad_token_id") or 0)] * len(padding),
        "attention_mask": [1] * used + padding,
        "token_type_ids": segments + padding,
    }


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
