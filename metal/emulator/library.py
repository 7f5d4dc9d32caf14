"""Loads a library that builder.py built and launches its kernels on NumPy arrays."""

import ctypes
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np


class KernelError(Exception):
    """The mistakes that the executor found in one launch, all in one text."""


# The classes derived from ctypes.Structure repeat those of abi.h, member by member.


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
    """The work of one launch. Only tracked builds count bytes; the others report 0."""

    device_bytes_read: int = 0
    device_bytes_written: int = 0
    threadgroup_bytes_read: int = 0
    threadgroup_bytes_written: int = 0
    barriers: int = 0  # threadgroup barriers passed, summed over threadgroups
    simdgroup_barriers: int = 0  # summed over simdgroups
    collectives: int = 0  # simdgroup functions called, summed over simdgroups
    atomics: int = 0  # atomic operations, summed over threads
    threadgroups: int = 0
    launches: int = 0
    # {buffer index: bytes}. Buffers in the constant address space are included here
    # and excluded from device_bytes_read.
    buffer_bytes_read: dict = field(default_factory=dict)
    buffer_bytes_written: dict = field(default_factory=dict)


_TOTALS = [f.name for f in fields(Counts) if f.type is int]


class _Counts(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in _TOTALS)


def _memory(value, index, writable):
    """Returns address and bytes of the memory for buffer `index`.

    value: an array, or another object that exports a Python buffer. A one-dimensional
        array may be strided: its memory reaches from its first to its last element.
    """
    if not isinstance(value, np.ndarray):
        value = np.frombuffer(value, np.uint8)
    if value.size and not (value.flags.c_contiguous or value.ndim == 1):
        raise ValueError(f"buffer({index}): the array must be contiguous")
    if writable and not value.flags.writeable:
        raise ValueError(f"buffer({index}) is an output: its memory must be writeable")
    size = value.nbytes
    if value.ndim == 1 and not value.flags.c_contiguous:
        size = (value.size - 1) * value.strides[0] + value.itemsize
        if size < value.itemsize:
            raise ValueError(f"buffer({index}): the stride must not be negative")
    return value.ctypes.data, size


def _triple(size):
    """Returns one to three sizes as three sizes. A size that is not given is 1."""
    size = (size,) if np.isscalar(size) else tuple(size)
    return (ctypes.c_uint32 * 3)(*size, *[1] * (3 - len(size)))


class Library:
    """A loaded library. `kernels` lists the names that `launch` accepts."""

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

        buffers: {index: memory} or {index: (memory, offset)}. Memory is an array or
            exports a Python buffer; the kernel works on it in place. The kernel's
            pointer begins `offset` bytes after the start, by default 0.
        threadgroups: the number of threadgroups, one to three sizes.
        threads: the number of threads per threadgroup, one to three sizes.
        outputs: indices of the buffers that the kernel may write.
        uninitialised: indices of the buffers that count as never written before.
        threadgroup_memory: {index: bytes}, the sizes of threadgroup arguments.
        seed: threads and threadgroups run in a random order that the seed determines;
            None or 0 runs them one after the other.

        Raises KernelError if the launch is invalid or the kernel makes a mistake,
        ValueError if the memory of a buffer cannot be used.
        """
        described = (_Buffer * max(1, len(buffers)))()
        for at, (index, value) in enumerate(sorted(buffers.items())):
            memory, offset = value if isinstance(value, tuple) else (value, 0)
            writable = index in outputs
            data, size = _memory(memory, index, writable)
            unwritten = index in uninitialised
            described[at] = _Buffer(index, data, size, offset, writable, unwritten)
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
