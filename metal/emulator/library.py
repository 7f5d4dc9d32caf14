"""A built library in this process: its kernels, on NumPy arrays."""

import ctypes
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

MOST_BUFFERS = 31


class KernelError(Exception):
    """What the executor found wrong with a kernel, all findings in one text."""


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("writable", ctypes.c_int),
        ("uninitialised", ctypes.c_int),
    )


class _ThreadgroupMemory(ctypes.Structure):
    _fields_ = (("index", ctypes.c_int), ("bytes", ctypes.c_uint64))


class _Dispatch(ctypes.Structure):
    _fields_ = (
        ("kernel", ctypes.c_char_p),
        ("buffers", ctypes.POINTER(_Buffer)),
        ("buffer_count", ctypes.c_int),
        ("threadgroup_memory", ctypes.POINTER(_ThreadgroupMemory)),
        ("threadgroup_memory_count", ctypes.c_int),
        ("threadgroups", ctypes.c_uint32 * 3),
        ("threads", ctypes.c_uint32 * 3),
        ("seed", ctypes.c_uint64),
    )


@dataclass
class Counts:
    """What a GPU would pay for a launch. Bytes are counted in tracked builds only."""

    device_bytes_read: int = 0
    device_bytes_written: int = 0
    threadgroup_bytes_read: int = 0
    threadgroup_bytes_written: int = 0
    barriers: int = 0  # each once per threadgroup
    simdgroup_barriers: int = 0  # each once per simdgroup
    collectives: int = 0  # each once per simdgroup
    atomics: int = 0  # each once per thread
    threadgroups: int = 0
    launches: int = 0
    # By buffer index; unlike the totals, with buffers in the constant address space.
    buffer_bytes_read: dict = field(default_factory=dict)
    buffer_bytes_written: dict = field(default_factory=dict)


_TOTALS = [f.name for f in fields(Counts) if f.type is int]


class _Counts(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in _TOTALS)


def _memory(value, writable):
    """Address and size of an array or of anything with a buffer."""
    if not isinstance(value, np.ndarray):
        value = np.frombuffer(value, np.uint8)
    if value.size and not (value.flags.c_contiguous or value.ndim == 1):
        raise ValueError("a buffer must be contiguous")
    if writable and not value.flags.writeable:
        raise ValueError("an output must be writeable")
    size = value.nbytes
    if value.ndim == 1 and not value.flags.c_contiguous:
        size = (value.size - 1) * value.strides[0] + value.itemsize
        if size < value.itemsize:
            raise ValueError("a buffer must begin at its lowest address")
    return value.ctypes.data, size


def _triple(size):
    size = (size,) if np.isscalar(size) else tuple(size)
    return (ctypes.c_uint32 * 3)(*size, *[1] * (3 - len(size)))


class Library:
    """One .so; `kernels` are the names that `launch` takes."""

    def __init__(self, path):
        self.path = Path(path)
        self._library = ctypes.CDLL(str(path))
        self._library.emulator_error.restype = ctypes.c_char_p
        size = self._library.emulator_kernel_names(None, 0)
        names = ctypes.create_string_buffer(size)
        self._library.emulator_kernel_names(names, size)
        self.kernels = names.value.decode().split()

    def __repr__(self):
        return f"Library({str(self.path)!r}, {len(self.kernels)} kernels)"

    def launch(
        self,
        name,
        buffers,
        threadgroups,
        threads,
        outputs=(),
        uninitialised=(),
        threadgroup_memory=None,
        seed=None,
    ):
        """Runs a kernel over a grid of threadgroups and returns its Counts.

        buffers: by index, arrays or other memory, used in place; or pairs of memory
            and the offset in bytes at which the kernel's pointer begins.
        threadgroups, threads: how many, and of how many threads each; up to 3 numbers.
        outputs: the indices that the kernel may write.
        uninitialised: the indices whose content counts as never written.
        threadgroup_memory: by index, the bytes of the kernel's threadgroup arguments.
        seed: of a random order of threads and threadgroups; None: in order.

        Raises KernelError if anything is wrong.
        """
        described = (_Buffer * max(1, len(buffers)))()
        for at, (index, value) in enumerate(sorted(buffers.items())):
            memory, offset = value if isinstance(value, tuple) else (value, 0)
            writable = index in outputs
            data, size = _memory(memory, writable)
            unread = index in uninitialised
            described[at] = _Buffer(index, data, size, offset, writable, unread)
        sizes = (threadgroup_memory or {}).items()
        lengths = [_ThreadgroupMemory(*item) for item in sizes]
        dispatch = _Dispatch(
            name.encode(),
            described,
            len(buffers),
            (_ThreadgroupMemory * max(1, len(lengths)))(*lengths),
            len(lengths),
            _triple(threadgroups),
            _triple(threads),
            seed or 0,
        )
        totals = _Counts()
        if self._library.emulator_launch(ctypes.byref(dispatch), ctypes.byref(totals)):
            raise KernelError(self._library.emulator_error().decode())
        return self._counts(totals, buffers)

    def _counts(self, totals, buffers):
        counts = Counts(**{name: getattr(totals, name) for name in _TOTALS})
        read, written = ctypes.c_uint64(), ctypes.c_uint64()
        for index in sorted(buffers):
            self._library.emulator_buffer_counts(
                index, ctypes.byref(read), ctypes.byref(written)
            )
            counts.buffer_bytes_read[index] = read.value
            counts.buffer_bytes_written[index] = written.value
        return counts
