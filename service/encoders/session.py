"""One ONNX Runtime session, opened with what this project expects of its graphs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import onnxruntime

from service.errors import ProfileError


def open_session(
    file: Path, *, inputs: Collection[str], outputs: Collection[str], threads: int = 1
) -> onnxruntime.InferenceSession:
    """A session over ``file`` on the CPU; ``threads`` compute one forward pass.

    Raises:
        ProfileError: the file is missing or damaged, or its inputs and outputs are others.
    """
    onnxruntime.disable_telemetry_events()  # a service calls nobody but those it was told to call
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the CPU to others
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors share no class of their own
        raise ProfileError(f"{file}: not a model that can be run: {error}") from error
    found = {each.name for each in session.get_inputs()}, {each.name for each in session.get_outputs()}
    if found != (set(inputs), set(outputs)):
        raise ProfileError(f"{file}: takes {sorted(found[0])} and gives {sorted(found[1])}, not what is expected here")
    return session
