"""Launches kernels of a cubin on an NVIDIA GPU, through the CUDA driver and ctypes."""

import ctypes
import struct


class Driver:
    """The CUDA driver. Raises OSError if it is missing, RuntimeError without a GPU."""

    def __init__(self):
        self._library = ctypes.CDLL("libcuda.so.1")
        self._call("cuInit", 0)
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        self._device = device

    def architecture(self):
        """Returns nvcc's name of the GPU's architecture, such as sm_90."""
        parts = []
        for attribute in (75, 76):  # the compute capability, major and minor
            part = ctypes.c_int()
            arguments = ctypes.byref(part), attribute, self._device
            self._call("cuDeviceGetAttribute", *arguments)
            parts.append(part.value)
        return f"sm_{parts[0]}{parts[1]}"

    def launch(self, cubin, kernel, buffers, threads):
        """Runs a kernel in one threadgroup and returns the buffers' new bytes.

        cubin: the content of the cubin file. buffers: the contents of [[buffer(0)]],
            [[buffer(1)]] and so on, as a list of bytes.
        """
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), cubin)
        name = kernel.encode()
        self._call("cuModuleGetFunction", ctypes.byref(function), module, name)
        addresses = [self._copy_in(data) for data in buffers]
        # The structure emulator_arguments of metal/emulator/cuda/metal.cuh.
        pointers = [*(a.value for a in addresses), *[0] * (31 - len(addresses))]
        arguments = ctypes.create_string_buffer(
            struct.pack("31Q31I4x", *pointers, *[0] * 31)
        )
        parameters = (ctypes.c_void_p * 1)(ctypes.addressof(arguments))
        sizes = (1, 1, 1, threads, 1, 1)
        self._call("cuLaunchKernel", function, *sizes, 0, None, parameters, None)
        self._call("cuCtxSynchronize")
        results = []
        for address, data in zip(addresses, buffers, strict=True):
            result = ctypes.create_string_buffer(len(data))
            size = ctypes.c_size_t(len(data))
            self._call("cuMemcpyDtoH_v2", result, address, size)
            self._call("cuMemFree_v2", address)
            results.append(result.raw)
        self._call("cuModuleUnload", module)
        return results

    def _copy_in(self, data):
        address, size = ctypes.c_uint64(), ctypes.c_size_t(len(data))
        self._call("cuMemAlloc_v2", ctypes.byref(address), size)
        self._call("cuMemcpyHtoD_v2", address, bytes(data), size)
        return address

    def _call(self, function, *arguments):
        status = getattr(self._library, function)(*arguments)
        if status != 0:
            raise RuntimeError(f"{function} failed with status {status}")
