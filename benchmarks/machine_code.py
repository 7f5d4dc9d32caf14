"""Reads the machine code that NVRTC, CUDA's run-time compiler, makes of the kernels.

NVIDIA's disassembler nvdisasm, a package on PyPI, turns machine code into text. With
line numbers in the machine code, the text says of each instruction which line of the
source it comes from, and into which calls that line was inlined.
"""

import bisect
import ctypes
import dataclasses
import importlib.metadata
import pathlib
import re
import struct
import subprocess
import tempfile


def package_file(package, name):
    """Returns the path of the file of an installed package that is called `name`."""
    distribution = importlib.metadata.distribution(package)
    (file,) = (f for f in distribution.files if pathlib.PurePath(f).name == name)
    return str(distribution.locate_file(file))


# ---- the compiler ---


class Nvrtc:
    """The compiler of the package nvidia-cuda-nvrtc."""

    # Those of overlay/backend/cuda/compile.cpp, and line numbers, which do not change
    # the instructions.
    OPTIONS = (
        "--std=c++17",
        "--device-as-default-execution-space",
        "--generate-line-info",
    )

    def __init__(self):
        self.library = ctypes.CDLL(package_file("nvidia-cuda-nvrtc", "libnvrtc.so.13"))
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def call(self, function, *arguments):
        error = getattr(self.library, function)(*arguments)
        if error:
            text = self.library.nvrtcGetErrorString(error).decode()
            raise RuntimeError(f"{function}: {text}")

    def compile(self, source, name, headers, architecture):
        """Returns the machine code of `source`, which is called `name` in line numbers.

        headers: {name: text} of the files that the source includes.
        """
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        texts = strings(headers.values())
        names = strings(headers)
        arguments = source.encode(), name.encode(), len(headers), texts, names
        self.call("nvrtcCreateProgram", ctypes.byref(program), *arguments)
        options = strings([f"--gpu-architecture={architecture}", *self.OPTIONS])
        self.call("nvrtcCompileProgram", program, len(options), options)
        self.call("nvrtcGetCUBINSize", program, ctypes.byref(size))
        code = ctypes.create_string_buffer(size.value)
        self.call("nvrtcGetCUBIN", program, code)
        self.call("nvrtcDestroyProgram", ctypes.byref(program))
        return code.raw


def strings(texts):
    """Returns a C array of strings."""
    encoded = [text.encode() for text in texts]
    return (ctypes.c_char_p * len(encoded))(*encoded)


# ---- registers and local memory ------------------------------------------------------

# Attributes in the section .nv.info: EIATTR_REGCOUNT and EIATTR_FRAME_SIZE.
REGISTERS = 0x2F
FRAME_BYTES = 0x11


@dataclasses.dataclass
class Resources:
    """What one thread of a kernel uses."""

    registers: int
    local_bytes: int
    """Bytes of local memory: registers that the compiler had to spill to memory, and
    arrays that it could not keep in registers."""


def sections(code):
    """Yields (name, type, offset, size) of each section of an ELF file of 64 bits."""
    (table,) = struct.unpack_from("<Q", code, 40)
    entry, count, names = struct.unpack_from("<HHH", code, 58)
    headers = [
        struct.unpack_from("<IIQQQQ", code, table + i * entry) for i in range(count)
    ]
    text = headers[names][4]
    for name, kind, _, _, offset, size in headers:
        end = code.index(b"\0", text + name)
        yield code[text + name : end].decode(), kind, offset, size


def resources(code):
    """Returns {kernel: Resources} of machine code.

    The section .nv.info is a list of attributes. Each has a byte for the format, a byte
    for the attribute, and 16 bits for a value or for the size of what follows.
    """
    found = {name: (offset, size) for name, _, offset, size in sections(code)}
    symbols, names = found[".symtab"], found[".strtab"]
    offset, size = found[".nv.info"]
    values = {}
    at = offset
    while at < offset + size:
        form, attribute, length = struct.unpack_from("<BBH", code, at)
        at += 4
        if form != 4:
            continue
        if attribute in (REGISTERS, FRAME_BYTES):
            symbol, value = struct.unpack_from("<II", code, at)
            (name,) = struct.unpack_from("<I", code, symbols[0] + 24 * symbol)
            start = names[0] + name
            kernel = code[start : code.index(b"\0", start)].decode()
            values.setdefault(kernel, {})[attribute] = value
        at += length
    return {
        kernel: Resources(of[REGISTERS], of.get(FRAME_BYTES, 0))
        for kernel, of in values.items()
        if REGISTERS in of
    }


# ---- instructions --------------------------------------------------------------------


@dataclasses.dataclass
class Instruction:
    text: str  # for example "@!P0 BRA `(.L_x_3)"
    functions: tuple
    """The functions of the source that the instruction comes from, outermost first: the
    kernel, a function that it calls, a function that this one calls."""

    def bytes_read(self, memory):
        """How many bytes a thread reads from `memory`, "LDG" (device) or "LDS"."""
        match = re.search(rf"\b{memory}\b(\S*)", self.text)
        if not match:
            return 0
        width = re.search(r"\.(128|64|U16|S16|U8|S8)\b", match[1])
        return int(width[1].strip("US")) // 8 if width else 4


class Source:
    """The source of kernels, for finding the function that a line belongs to."""

    # The last form is the line that instantiates a kernel.
    DEFINITION = re.compile(
        r"(?:METAL_FUNC\b|\]\] void)[^;{()]*?\b(\w+)\(|^(cuda_\w+)\(", re.MULTILINE
    )

    def __init__(self, text, file):
        self.file = file
        found = list(self.DEFINITION.finditer(text))
        self.lines = [text.count("\n", 0, m.start()) + 1 for m in found]
        self.names = [m[1] or m[2] for m in found]

    def function(self, file, line):
        """Returns the name of the function, or nothing if the file is another one."""
        at = bisect.bisect(self.lines, line) - 1
        is_here = pathlib.PurePath(file).name == self.file and at >= 0
        return self.names[at] if is_here else None


@dataclasses.dataclass
class Kernel:
    """A kernel's instructions, without the NOPs behind them."""

    instructions: list
    labels: dict  # of a label, the number of the instruction after it

    def inside(self, function):
        """Returns the instructions that come from a function or from what it calls."""
        return [i for i in self.instructions if function in i.functions]

    def loops(self):
        """Returns the innermost loops, each as a list of instructions."""
        spans = []
        for last, instruction in enumerate(self.instructions):
            target = re.search(r"\bBRA\b.*`\((\S+)\)", instruction.text)
            first = self.labels.get(target[1], last + 1) if target else last + 1
            # The compiler puts an endless loop of one branch behind a kernel.
            if first < last:
                spans.append((first, last))
        return [
            self.instructions[first : last + 1]
            for first, last in spans
            if not any(
                first <= a and b <= last for a, b in spans if (a, b) != (first, last)
            )
        ]


def disassemble(code, source):
    """Returns {name: Kernel} of machine code with line numbers."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        tool = package_file("nvidia-cuda-nvdisasm", "nvdisasm")
        command = [tool, "--print-code", "--print-line-info-inline", file.name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    kernels = {}
    kernel, calls, is_new = None, [], True
    for line in done.stdout.splitlines():
        if match := re.match(r"\.text\.(\w+):", line):
            kernel = kernels[match[1]] = Kernel([], {})
            calls = []
        elif match := re.match(r'\s*//## File "(.*?)", line (\d+)', line):
            # Several such lines before an instruction are a chain of calls.
            calls = [] if is_new else calls
            calls.insert(0, source.function(match[1], int(match[2])))
            is_new = False
        elif match := re.match(r"(\.L_\w+):", line):
            kernel.labels[match[1]] = len(kernel.instructions)
        elif match := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;", line):
            is_new = True
            if match[1] != "NOP":
                functions = tuple(filter(None, calls))
                kernel.instructions.append(Instruction(match[1], functions))
    return kernels
