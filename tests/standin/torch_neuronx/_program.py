"""Programs: a scripted shell whose one operator asks the runtime, around the CPU model that knows the answer.

The shell calls ``neuron_standin::forward``, an operator that exists only where this package was imported; so
its file cannot be loaded without, nor by the real library.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Sequence
from typing import Any

import torch
from neuron_standin.faults import strikes

from . import _placement
from ._runtime import Core, execution_failed, runtime

REMEMBERED_INPUTS = 8

_loaded: dict[int, LoadedProgram] = {}
_handles = itertools.count(1)


class Shell(torch.nn.Module):
    """Gets its forward method from `make_shell`, for as many inputs as the program has."""

    def __init__(self, program: Any, meta: str) -> None:
        super().__init__()
        self.program = program
        self.neuron_handle = 0
        self.neuron_meta = meta


def make_shell(program: Any, example: Sequence[torch.Tensor], *, casts: bool) -> Any:
    """A `torch.jit.ScriptModule` for a traced CPU program."""
    with torch.no_grad():
        output = program(*example)
    tensors = [*program.parameters(), *program.buffers()]
    meta = {
        "inputs": [[list(tensor.shape), str(tensor.dtype)] for tensor in example],
        "keys": list(output) if isinstance(output, dict) else [],
        "casts": casts,
        "size_bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
    }
    shell = torch.jit.script(Shell(program, json.dumps(meta)))
    names = [f"x{i}" for i in range(len(example))]
    outputs = "outputs = torch.ops.neuron_standin.forward(self.neuron_handle, [{}])"
    shell.define(
        f"def forward(self, {', '.join(names)}):\n"
        f"    {outputs.format(', '.join(names))}\n"
        f"    return {_answer(output)}\n"
    )
    return shell


def _answer(output: Any) -> str:
    if isinstance(output, dict):
        return "{" + ", ".join(f"'{key}': outputs[{i}]" for i, key in enumerate(output)) + "}"
    if isinstance(output, (tuple, list)):
        return "(" + ", ".join(f"outputs[{i}]" for i in range(len(output))) + ",)"
    return "outputs[0]"


class LoadedProgram:
    """A program on the device."""

    def __init__(self, shell: Any, cores: list[Core]) -> None:
        self._program = shell.program
        self._meta = json.loads(shell.neuron_meta)
        self._turns = itertools.count()
        self._lock = threading.Lock()
        self._known: list[tuple[list[torch.Tensor], list[torch.Tensor]]] = []
        self._last: tuple[list[tuple[torch.Tensor, int]], list[torch.Tensor]] = ([], [])
        self.cores = cores

    @property
    def size_bytes(self) -> int:
        return int(self._meta["size_bytes"])

    def __call__(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        core = self.cores[next(self._turns) % len(self.cores)]
        answer = self._repeated(inputs) or self._answer(inputs, core)
        batch = inputs[0].shape[0] if inputs and inputs[0].dim() else 1
        runtime.execute(core, batch)
        if runtime.faults:
            return [self._spoiled(tensor, batch, core) for tensor in answer]
        return [tensor.clone() for tensor in answer]

    def _repeated(self, inputs: list[torch.Tensor]) -> list[torch.Tensor] | None:
        """The last answer, when these are the very tensors that it was for: one interpreter serves up to 24
        cores here, so that an ordinary call must cost microseconds."""
        last, answer = self._last
        if len(last) == len(inputs) and all(
            new is old and not new.is_inference() and new._version == version
            for new, (old, version) in zip(inputs, last, strict=True)
        ):
            return answer
        return None

    def _answer(self, inputs: list[torch.Tensor], core: Core) -> list[torch.Tensor]:
        if [[list(tensor.shape), str(tensor.dtype)] for tensor in inputs] != self._meta["inputs"]:
            core.counters.add("incorrect_input")
            execution_failed(2, "input tensor name/size does not match the model")
        with self._lock:
            answer = next((out for known, out in self._known if all(map(torch.equal, known, inputs))), None)
            if answer is None:
                answer = self._compute(inputs)
                self._known = [*self._known, ([t.clone() for t in inputs], answer)][-REMEMBERED_INPUTS:]
            if not any(tensor.is_inference() for tensor in inputs):
                self._last = ([(tensor, tensor._version) for tensor in inputs], answer)
            return answer

    def _compute(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        with torch.no_grad():
            output = self._program(*inputs)
        if isinstance(output, dict):
            output = [output[key] for key in self._meta["keys"]]
        outputs = list(output) if isinstance(output, (tuple, list)) else [output]
        if self._meta["casts"]:
            outputs = [t.bfloat16().to(t.dtype) if t.is_floating_point() else t for t in outputs]
        return outputs

    def _spoiled(self, tensor: torch.Tensor, batch: int, core: Core) -> torch.Tensor:
        wrong = runtime.faults.get("wrong")
        if wrong and batch >= int(wrong.value) and strikes(wrong):
            return tensor + 1
        if strikes(runtime.faults.get("nan")):
            core.counters.add("completed_with_num_err")
            return torch.full_like(tensor, float("nan"))
        return tensor.clone()


def load(shell: Any) -> None:
    """Put a program onto the device, where the current context says."""
    size_bytes = int(json.loads(shell.neuron_meta)["size_bytes"])
    handle = next(_handles)
    _loaded[handle] = LoadedProgram(shell, runtime.place(*_placement.chosen(), size_bytes))
    shell.neuron_handle = handle


def move(shell: Any, start_nc: int, nc_count: int) -> None:
    """Put a loaded program onto other cores."""
    program = _loaded[shell.neuron_handle]
    cores = runtime.place(start_nc, nc_count, program.size_bytes)
    for core in program.cores:
        core.models -= 1
        core.used_bytes -= program.size_bytes
    program.cores = cores


def hook_into_torch_jit_load() -> None:
    """The real library registers a class that loads itself when its state is read; Python cannot."""
    plain_load = torch.jit.load

    def load_onto_device(*args: Any, **kwargs: Any) -> Any:
        module = plain_load(*args, **kwargs)
        if hasattr(module, "neuron_meta"):
            load(module)
        return module

    torch.jit.load = load_onto_device


def _forward(handle: int, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    if handle not in _loaded:
        raise RuntimeError("The model was compiled without a device and is not loaded")
    return _loaded[handle](inputs)


_library = torch.library.Library("neuron_standin", "DEF")
_library.define("forward(int handle, Tensor[] inputs) -> Tensor[]")
_library.impl("forward", _forward, "CompositeExplicitAutograd")
