"""Compile one program, or find it already compiled."""

from __future__ import annotations

import logging
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchlib import models
from benchlib.artifacts import (
    REFERENCE,
    ArtifactCorrupt,
    ArtifactStore,
    Bundle,
    Ingredients,
    Manifest,
    artifact_key,
)
from benchlib.backends import get_backend
from benchlib.backends.base import Backend, DeviceDescription, Program, ResolvedPrecision
from benchlib.checksums import file_sha256
from benchlib.environment import capture, package_version
from benchlib.errors import BenchError
from benchlib.progress import Progress, emit
from benchlib.results import ArtifactRef, CompileResult, Environment
from benchlib.spec import CompileRequest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

OUTPUT = "output"
"""Name of the reference output beside the example inputs."""


@dataclass(frozen=True)
class _Order:
    """A request with everything that is known before anything heavy is imported."""

    request: CompileRequest
    backend: Backend
    ingredients: Ingredients
    environment: Environment

    @property
    def filename(self) -> str:
        return f"model_batch_size_{self.request.batch_size}.pt"


def compile_program(request: CompileRequest) -> CompileResult:
    """Find the program in the artifact store, or compile it and put it there.

    A found program has its checksum verified; one that fails is removed and compiled anew, with a warning.

    Raises:
        BadInput: unknown model or backend, a precision or flags that the device lacks, no place to write.
        BenchError: the compiled program computes something else than the model.
    """
    order = _take(request)
    store = ArtifactStore(request.artifact_url)
    _tell(request, "started")
    with tempfile.TemporaryDirectory(prefix="bench-compile-") as name:
        workdir = Path(name)
        found, warnings = _find_intact(store, artifact_key(order.ingredients), workdir)
        manifest = found or _compile_and_store(order, store, workdir)
        warnings += manifest.warnings
    log.info("%s %s", "found" if found else "stored", manifest.artifact.filename)
    _tell(request, "cached" if found else "done")
    return CompileResult(
        batch_size=request.batch_size,
        backend=request.backend,
        precision=order.ingredients.precision,
        artifact=manifest.artifact,
        cache_hit=found is not None,
        compile_duration_s=manifest.compile_duration_s,
        peak_rss_bytes=manifest.peak_rss_bytes,
        environment=order.environment,
        warnings=warnings,
    )


def _take(request: CompileRequest) -> _Order:
    backend = get_backend(request.backend)
    precision = backend.resolve_precision(request.precision)
    backend.check_compiler_args(request.compiler_args)
    models.check(request.model)
    description = backend.describe()
    ingredients = _ingredients(request, precision, description)
    return _Order(request, backend, ingredients, capture(description))


def _ingredients(
    request: CompileRequest, precision: ResolvedPrecision, description: DeviceDescription
) -> Ingredients:
    libraries = {name: package_version(name) or "" for name in ("torch", "transformers")}
    return Ingredients(
        model=models.identity(request.model),
        inputs=models.input_shapes(request.model, request.batch_size),
        backend=request.backend,
        precision=precision,
        compiler_args=request.compiler_args,
        versions=tuple({**libraries, **dict(description.versions)}.items()),
        traits=description.program_traits,
    )


def _find_intact(store: ArtifactStore, key: str, workdir: Path) -> tuple[Manifest | None, tuple[str, ...]]:
    found = store.find(key)
    if found is None:
        return None, ()
    try:
        store.fetch(found.artifact, workdir)
    except ArtifactCorrupt as corrupt:
        warning = f"compiled again: {corrupt}"
        log.warning("%s", warning)
        store.discard(found.artifact)
        return None, (warning,)
    return found, ()


def _compile_and_store(order: _Order, store: ArtifactStore, workdir: Path) -> Manifest:
    store.probe()
    loaded = models.load(order.request.model, order.request.batch_size)
    reference = _write_reference(order.ingredients, loaded, workdir / REFERENCE)
    program = Program(loaded.module, loaded.example, order.ingredients.precision, order.request.compiler_args)
    log.info("compiling %s for %s", order.filename, order.request.backend)
    began_s = time.perf_counter()
    path = order.backend.compile(program, workdir, order.filename)
    duration_s = time.perf_counter() - began_s
    log.info("compiled %s in %.1f s", order.filename, duration_s)
    _verify(order, path, loaded, reference)
    notes = order.backend.compile_notes()
    manifest = Manifest(
        artifact=ArtifactRef(
            key=artifact_key(order.ingredients),
            filename=order.filename,
            sha256=file_sha256(path),
            size_bytes=path.stat().st_size,
        ),
        reference_sha256=file_sha256(workdir / REFERENCE),
        batch_size=order.request.batch_size,
        ingredients=order.ingredients,
        compile_duration_s=duration_s,
        peak_rss_bytes=_peak_rss_bytes(),
        environment=order.environment,
        applied_flags=notes.applied_flags,
        warnings=notes.warnings,
    )
    store.put(path, workdir / REFERENCE, manifest)
    return manifest


def _write_reference(ingredients: Ingredients, loaded: models.LoadedModel, path: Path) -> NDArray[np.float32]:
    """The fp32 output on the CPU, kept with the inputs that it answers."""
    import numpy as np
    import torch

    with torch.inference_mode():
        output: NDArray[np.float32] = loaded.module(*loaded.example).float().numpy()
    if not np.isfinite(output).all():
        raise BenchError(
            "the model's own fp32 output on the CPU holds NaN or infinity: no program can be compared with "
            "that: look at the weights, or feed the model text"
        )
    arrays: dict[str, Any] = {OUTPUT: output}
    for (name, _), tensor in zip(ingredients.inputs, loaded.example, strict=True):
        arrays[name] = tensor.numpy()
    np.savez(path, **arrays)
    return output


def read_reference(bundle: Bundle) -> tuple[tuple[torch.Tensor, ...], NDArray[np.float32]]:
    """The example inputs of a stored program in calling order, and the CPU's fp32 output for them."""
    import numpy as np
    import torch

    with np.load(bundle.reference) as stored:
        names = [name for name, _ in bundle.manifest.ingredients.inputs]
        return tuple(torch.from_numpy(stored[name]) for name in names), stored[OUTPUT]


def _verify(order: _Order, path: Path, loaded: models.LoadedModel, reference: NDArray[np.float32]) -> None:
    from benchlib.core.accuracy import check_outputs

    output = order.backend.try_out(path, loaded.example)
    if output is None:
        return
    checks = check_outputs(
        {"the new program": output.float().numpy()}, reference, order.ingredients.precision
    )
    failed = [check for check in checks if not check.passed]
    if failed:
        raise BenchError(f"{order.filename} was not stored: {failed[-1].advice}")


def _peak_rss_bytes() -> int:
    """Of this process or its biggest child: compilers often run as children. Linux counts in KiB."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(w).ru_maxrss for w in who) * 1024


def _tell(request: CompileRequest, state: str) -> None:
    emit(Progress.model_validate({"stage": "compile", "state": state, "batch_size": request.batch_size}))
