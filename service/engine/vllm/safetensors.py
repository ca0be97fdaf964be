"""The safetensors file format, as far as copying tensors and picking rows needs it; no tensor library involved.

A file is the header's length (8 bytes, little endian), the header (JSON: name -> dtype, shape, data_offsets) and the
tensors' raw bytes. Rows are copied as bytes, so that every dtype survives exactly, those NumPy does not know included.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.errors import ProfileError

_LENGTH_BYTES = 8
_METADATA = "__metadata__"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: ``data`` holds its elements in row-major order, little endian."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    def rows(self, indices: Sequence[int]) -> Tensor:
        """The rows ``indices`` of a matrix, shape [len(indices), columns].

        Raises:
            ProfileError: this is no matrix, or it has no such row.
        """
        if len(self.shape) != 2 or not self.shape[0]:  # noqa: PLR2004 - a matrix has two dimensions
            raise ProfileError(f"a tensor of shape {list(self.shape)} has no rows to pick")
        if not all(0 <= index < self.shape[0] for index in indices):
            raise ProfileError(f"the matrix has {self.shape[0]} rows, not the rows {list(indices)}")
        size = len(self.data) // self.shape[0]
        picked = b"".join(self.data[index * size : (index + 1) * size] for index in indices)
        return Tensor(self.dtype, (len(indices), self.shape[1]), memoryview(picked))


def read(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file, mapped from disk.

    Raises:
        ProfileError: the file is missing or is not safetensors.
    """
    try:
        with path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        length = int.from_bytes(content[:_LENGTH_BYTES], "little")
        header = json.loads(bytes(content[_LENGTH_BYTES : _LENGTH_BYTES + length]))
        body = content[_LENGTH_BYTES + length :]
        return {name: _tensor(entry, body) for name, entry in header.items() if name != _METADATA}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProfileError(f"{path} cannot be read as safetensors: {error}") from error


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write ``tensors`` to ``path``, in their order."""
    header: dict[str, object] = {_METADATA: {"format": "pt"}}
    offset = 0
    for name, tensor in tensors.items():
        end = offset + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % _LENGTH_BYTES)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(_LENGTH_BYTES, "little"))
        file.write(encoded)
        for tensor in tensors.values():
            file.write(tensor.data)


def _tensor(entry: Mapping[str, object], body: memoryview) -> Tensor:
    """One header entry with its bytes; raises ``ValueError`` if they are not all there."""
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not isinstance(shape, list) or not isinstance(offsets, list):
        raise ValueError("a tensor's shape and offsets are lists")  # noqa: TRY004 - the content is wrong, not a type
    begin, end = offsets
    if not 0 <= begin <= end <= len(body):
        raise ValueError("the file is shorter than its header promises")
    return Tensor(str(entry["dtype"]), tuple(shape), body[begin:end])
