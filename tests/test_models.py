from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchlib import models
from benchlib.errors import BadInput
from benchlib.spec import ModelSpec
from tests import dataplane

COMMIT = "c0ffee" + "0" * 34


def make_directory(folder: Path, weights: bytes = b"w", **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_an_unknown_configuration_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"config:bert-base-uncased.*config:bert-tiny") as refusal:
        models.check(ModelSpec(name="config:bort"))
    assert refusal.value.field == "model"


@pytest.mark.parametrize("name", models.KNOWN_CONFIGS)
def test_known_configurations_are_accepted_up_to_their_longest_sequence(name: str) -> None:
    models.check(ModelSpec(name=f"config:{name}", sequence_length=512))
    with pytest.raises(BadInput, match="at most 512 tokens"):
        models.check(ModelSpec(name=f"config:{name}", sequence_length=513))


def test_positions_that_start_behind_the_padding_token_shorten_the_sequence(tmp_path: Path) -> None:
    folder = make_directory(tmp_path, model_type="roberta", max_position_embeddings=514, pad_token_id=1)
    models.check(ModelSpec(name=str(folder), sequence_length=512))
    with pytest.raises(BadInput, match="at most 512"):
        models.check(ModelSpec(name=str(folder), sequence_length=513))


def test_directories_that_hold_no_model_are_refused_with_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such directory"):
        models.check(ModelSpec(name=str(tmp_path / "nowhere")))
    with pytest.raises(BadInput, match="has no config"):
        models.check(ModelSpec(name=str(tmp_path)))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="directory without weights"):
        models.check(ModelSpec(name=str(tmp_path)))
    (tmp_path / "pytorch_model.bin").write_bytes(b"w")
    models.check(ModelSpec(name=str(tmp_path)))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadInput, match="valid JSON"):
        models.check(ModelSpec(name=str(tmp_path)))


def test_only_a_hub_model_has_revisions(tmp_path: Path) -> None:
    for name in ("config:bert-tiny", str(make_directory(tmp_path))):
        with pytest.raises(BadInput, match="revision"):
            models.check(ModelSpec(name=name, revision="main"))


def test_a_configuration_is_identified_by_its_content_and_seed() -> None:
    tiny = models.identity(ModelSpec(name="config:bert-tiny", seed=1))
    assert tiny != models.identity(ModelSpec(name="config:bert-tiny", seed=2))
    assert tiny != models.identity(ModelSpec(name="config:bert-base-uncased", seed=1))
    assert json.loads(dict(tiny)["config"])["hidden_size"] == 128


def test_a_directory_is_identified_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    def identity(folder: Path) -> models.Pairs:
        return models.identity(ModelSpec(name=str(folder)))

    original = identity(make_directory(tmp_path / "a"))
    assert identity(make_directory(tmp_path / "b")) == original
    assert identity(make_directory(tmp_path / "b", weights=b"v")) != original
    assert identity(make_directory(tmp_path / "b", hidden_size=64)) != original


def test_weights_that_transformers_would_not_read_do_not_count(tmp_path: Path) -> None:
    original = models.identity(ModelSpec(name=str(make_directory(tmp_path))))
    (tmp_path / "training_args.bin").write_bytes(b"settings")
    assert models.identity(ModelSpec(name=str(tmp_path))) == original


def test_head_and_inputs_count_only_when_they_are_asked_for() -> None:
    """The same identity as before these two could be asked for: stored programs are still found."""
    spec = ModelSpec(name="config:bert-tiny", head="classification", inputs="text")
    assert [name for name, _ in models.identity(spec)] == ["config", "seed"]
    plain = models.identity(spec)
    encoder = models.identity(spec.model_copy(update={"head": "encoder"}))
    zeros = models.identity(spec.model_copy(update={"inputs": "zeros_int32"}))
    assert encoder == (*plain, ("head", "encoder"))
    assert zeros == (*plain, ("inputs", "zeros_int32"))


def test_the_inputs_are_named_with_their_shapes() -> None:
    spec = ModelSpec(name="config:bert-tiny", sequence_length=16)
    assert models.input_shapes(spec, 4) == tuple((name, "int64[4,16]") for name in models.INPUT_NAMES)
    zeros = spec.model_copy(update={"inputs": "zeros_int32"})
    assert models.input_shapes(zeros, 4) == (
        ("input_ids", "int32[4,16]"),
        ("attention_mask", "int32[4,16]"),
    )


@pytest.mark.parametrize("length", [8, 16, 128])
def test_synthetic_inputs_are_two_padded_sentences(length: int) -> None:
    row = models._synthetic_row(length, models.KNOWN_CONFIGS["bert-base-uncased"])
    assert {name: len(values) for name, values in row.items()} == dict.fromkeys(models.INPUT_NAMES, length)
    used = sum(row["attention_mask"])
    ids, segments = row["input_ids"], row["token_type_ids"]
    assert row["attention_mask"] == [1] * used + [0] * (length - used)
    assert ids[0] == 101
    assert ids[used - 1] == 102
    assert ids[used:] == [0] * (length - used)
    first = ids.index(102) + 1
    assert segments == [0] * first + [1] * (used - first) + [0] * (length - used)
    assert 2 < first < used - 1


def test_synthetic_ids_fit_a_small_vocabulary_with_one_segment() -> None:
    row = models._synthetic_row(64, {"vocab_size": 40, "type_vocab_size": 1, "pad_token_id": 1})
    assert max(row["input_ids"]) < 40
    assert set(row["token_type_ids"]) == {0}
    assert row["input_ids"][-1] == 1


LOADING = """
import json
from pathlib import Path
import torch, transformers
from benchlib.errors import BadInput
from benchlib.models import load
from benchlib.spec import ModelSpec

folder = Path({folder!r})
def answer(name, batch_size=1, **fields):
    loaded = load(ModelSpec(name=name, sequence_length=32, **fields), batch_size)
    with torch.inference_mode():
        output = loaded.module(*loaded.example)
    return loaded, output

loaded, tiny = answer("config:bert-tiny", 3, seed=5)
classifier, base = loaded.module.model, loaded.module.model.bert
classifier.save_pretrained(folder / "classifier")
base.save_pretrained(folder / "base")
facts = dict(
    shapes=[list(t.shape) for t in loaded.example], dtypes=[str(t.dtype) for t in loaded.example],
    output=[list(tiny.shape), str(tiny.dtype)], training=loaded.module.training,
    same_seed=torch.equal(tiny, answer("config:bert-tiny", 3, seed=5)[1]),
    other_seed=torch.equal(tiny, answer("config:bert-tiny", 3, seed=6)[1]),
    rows_equal=bool((loaded.example[0] == loaded.example[0][0]).all()),
    saved=torch.equal(answer(str(folder / "classifier"))[1], answer("config:bert-tiny", seed=5)[1]),
    headless_same_seed=torch.equal(answer(str(folder / "base"))[1], answer(str(folder / "base"))[1]),
    distilbert=list(answer("config:distilbert-base-uncased")[1].shape),
)

def like_aws(name, batch_size=2):
    aws, hidden = answer(name, batch_size, head="encoder", inputs="zeros_int32", seed=5)
    first = base.eval()(*[t[:1] for t in aws.example], return_dict=False)[0]
    traced = torch.jit.trace(aws.module, aws.example, check_trace=False)(*aws.example)
    return dict(
        inputs=[[list(t.shape), str(t.dtype), int(t.abs().sum())] for t in aws.example],
        output=list(hidden.shape), finite=bool(hidden.isfinite().all()), traced=torch.equal(traced, hidden),
        attention=aws.module.model.config._attn_implementation,
        same_encoder=torch.allclose(hidden[:1], first, atol=1e-5) if hidden.shape[-1] == 128 else None,
    )

facts["aws"] = {name: like_aws(name) for name in ("config:bert-tiny", "config:distilbert-base-uncased")}
facts["aws"]["folder"] = like_aws(str(folder / "classifier"))
facts["encoder_text"] = [list(t.shape) for t in answer("config:bert-tiny", head="encoder")[0].example]

classifier.bfloat16().save_pretrained(folder / "bf16")
facts["bf16_checkpoint"] = str(next(load(ModelSpec(name=str(folder / "bf16")), 1).module.parameters()).dtype)

words = "[PAD] [UNK] [CLS] [SEP] [MASK] the night ' s run ended , .".split()
(folder / "vocab.txt").write_text("\\n".join(words))
transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "classifier")
ids, mask, segments = answer(str(folder / "classifier"))[0].example
facts["tokenised"] = dict(
    ids=ids[0].tolist(), used=int(mask.sum()), segments=segments[0].tolist(),
    words=[words[i] for i in ids[0].tolist()],
)

(folder / "classifier" / "model.safetensors").write_bytes(b"not weights")
try:
    load(ModelSpec(name=str(folder / "classifier")), 1)
except BadInput as error:
    facts["corrupt"] = str(error)
"""


@pytest.fixture(scope="module")
def loading(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = str(tmp_path_factory.mktemp("models"))
    return dataplane.facts(LOADING.replace("{folder!r}", repr(folder)))


@pytest.mark.dataplane
def test_a_batch_is_three_int64_tensors_of_equal_rows(loading: Any) -> None:
    assert loading["shapes"] == [[3, 32]] * 3
    assert loading["dtypes"] == ["torch.int64"] * 3
    assert loading["rows_equal"]


@pytest.mark.dataplane
def test_a_network_answers_with_one_tensor_of_logits(loading: Any) -> None:
    assert loading["output"] == [[3, 2], "torch.float32"]
    assert not loading["training"]
    assert loading["distilbert"] == [1, 2]


@pytest.mark.dataplane
@pytest.mark.parametrize(
    ("name", "hidden"), [("config:bert-tiny", 128), ("config:distilbert-base-uncased", 768), ("folder", 128)]
)
def test_an_encoder_of_zeros_answers_with_finite_hidden_states(loading: Any, name: str, hidden: int) -> None:
    """A mask of zeros leaves nothing to attend to, of which fused attention makes NaN in some versions."""
    found = loading["aws"][name]
    assert found["inputs"] == [[[2, 32], "torch.int32", 0]] * 2
    assert found["output"] == [2, 32, hidden]
    assert found["finite"]
    assert found["traced"]
    assert found["attention"] == "eager"


@pytest.mark.dataplane
def test_an_encoder_is_the_same_network_without_its_head(loading: Any) -> None:
    assert loading["aws"]["folder"]["same_encoder"]
    assert loading["encoder_text"] == [[1, 32]] * 3


@pytest.mark.dataplane
def test_the_seed_decides_every_weight_that_no_file_decides(loading: Any) -> None:
    assert loading["same_seed"]
    assert not loading["other_seed"]
    assert loading["saved"]
    assert loading["headless_same_seed"]


@pytest.mark.dataplane
def test_a_bf16_checkpoint_is_loaded_as_fp32(loading: Any) -> None:
    assert loading["bf16_checkpoint"] == "torch.float32"


@pytest.mark.dataplane
def test_a_models_own_tokenizer_is_used(loading: Any) -> None:
    found = loading["tokenised"]
    assert found["words"][0] == "[CLS]"
    assert found["words"].count("[SEP]") == 2
    assert {"the", "night", "run"} <= set(found["words"])
    assert found["ids"][found["used"] :] == [0] * (32 - found["used"])
    assert 1 in found["segments"]


@pytest.mark.dataplane
def test_broken_weights_are_bad_input(loading: Any) -> None:
    assert loading["corrupt"].startswith("model: ")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as finding a commit and its files takes."""

    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/team/tiny"):
            names = [p.name for p in self.folder.iterdir()]
            info = {"id": "team/tiny", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
            return self._send(json.dumps(info).encode(), with_body=with_body)
        file = self.folder / Path(path).name
        if path.startswith("/team/tiny/resolve/") and file.is_file():
            return self._send(file.read_bytes(), with_body=with_body)
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def _send(self, body: bytes, *, with_body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{hash(body):x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    Hub.folder = tmp_path / "repository"
    Hub.folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


FROM_HUB = """
import os, torch
from benchlib import models
from benchlib.errors import BadInput
from benchlib.spec import ModelSpec

spec = ModelSpec(name="team/tiny", sequence_length=16)
local = models.load(ModelSpec(name="config:bert-tiny", sequence_length=16), 1)
local.module.model.save_pretrained({folder!r})
loaded = models.load(spec, 1)
with torch.inference_mode():
    same = torch.equal(loaded.module(*loaded.example), local.module(*local.example))
facts = dict(identity=models.identity(spec), same=same)
try:
    models.check(ModelSpec(name="team/unknown"))
except BadInput as error:
    facts["unknown"] = str(error)
"""

OFFLINE = """
from benchlib import models
from benchlib.errors import BadInput
from benchlib.spec import ModelSpec

facts = dict(identity=models.identity(ModelSpec(name="team/tiny", sequence_length=16)))
models.load(ModelSpec(name="team/tiny", sequence_length=16), 1)
try:
    models.check(ModelSpec(name="team/unknown"))
except BadInput as error:
    facts["unknown"] = str(error)
"""


@pytest.mark.dataplane
def test_a_hub_model_is_its_commit_online_and_from_the_cache(hub: str, tmp_path: Path) -> None:
    env = dataplane.environment(HF_ENDPOINT=hub, HF_HOME=str(tmp_path / "cache"), HF_HUB_DISABLE_XET="1")
    online = dataplane.facts(FROM_HUB.replace("{folder!r}", repr(str(Hub.folder))), env)
    assert ["commit", COMMIT] in online["identity"]
    assert online["same"]
    assert "hub has no such model" in online["unknown"]
    offline = dataplane.facts(OFFLINE, {**env, "HF_ENDPOINT": "http://127.0.0.1:1"})
    assert offline["identity"] == online["identity"]
    assert "was not reached" in offline["unknown"]
