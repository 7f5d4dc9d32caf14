"""Counts the registers and instructions of the CUDA kernels. Needs no GPU.

    python benchmarks/cuda_counts.py

compiles kernels with the packages of requirements-cuda.txt, which `make .venv/.cuda`
installs. It writes docs/data/cuda-counts.json and updates the tables of docs/cuda.md.
tests/test_cuda_counts.py fails if a kernel has become worse than the stored counts. Run
this again after a change that is worth its cost, or with another compiler.
"""

import dataclasses
import importlib.metadata
import json
import math
import pathlib
import sys

from machine_code import Nvrtc, Source, disassemble, resources

import report

ROOT = pathlib.Path(__file__).parents[1]
sys.path += [str(ROOT), str(ROOT / "tests")]

import hooks  # noqa: E402

import metal_kernels  # noqa: E402

DATA = ROOT / "docs/data/cuda-counts.json"
PAGE = ROOT / "docs/cuda.md"
HEADER = ROOT / "overlay/backend/cuda/metal_words.cuh"

ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
DETAILED = "sm_90"  # The architecture for which parts of kernels are counted.
TYPES = ["uint8", "bfloat16", "float32", "int64"]
# For (., 160) and k = 8: 10 elements for each of the 16 lanes of a row.
LANES = "topk_lanes_{}_10_16_1_true"
# Up to 32 elements in the registers of a thread, and tiles of 16 in a loop.
SPLIT, LOOP = (
    "topk_bound_split_{}_32_4_true_false",
    "topk_bound_split_{}_16_1_true_true",
)
KERNELS = [
    LANES,
    "topk_lanes_{}_32_32_2_true",
    "topk_bound_{}_32_4_true_false",
    SPLIT,
    LOOP,
    "topk_bound_merge_{}_14",
    "topk_resident_{}",
    "topk_split_{}",
    "topk_merge_{}",
    "topk_rest_{}",
]
# For k above 512. Elements of 8 bytes have no such kernel.
MANY = ["topk_bound_split_{}_32_16_true_false"]
NARROW_TYPES = ["uint8", "bfloat16", "float32"]
# The kernel of routing.route for (., 160) and k = 8, the one for the most experts, and
# that of the gradient.
ROUTES = [
    "topk_route_{}_10_16_1",
    "topk_route_{}_32_32_2",
    "topk_route_gradient_{}",
]
ROUTE_TYPES = ["bfloat16", "float32"]


@dataclasses.dataclass
class Counts:
    """The static counts of one kernel for one architecture."""

    registers: int
    local_bytes: int
    instructions: int


def kernels_of(dtype):
    """Returns the names of the kernels of a type whose registers are counted."""
    shapes = KERNELS + (MANY if dtype in NARROW_TYPES else [])
    shapes += ROUTES if dtype in ROUTE_TYPES else []
    return [shape.format(dtype) for shape in shapes]


def all_kernels():
    """Returns the names of all kernels, in the order of the table."""
    return [
        *(shape.format(dtype) for shape in KERNELS for dtype in TYPES),
        *(shape.format(dtype) for shape in MANY for dtype in NARROW_TYPES),
        *(shape.format(dtype) for shape in ROUTES for dtype in ROUTE_TYPES),
    ]


def compiler_version():
    return importlib.metadata.version("nvidia-cuda-nvrtc")


def compiled(names, architecture):
    """Returns {name: (Counts, Kernel)} of kernels, which are compiled together."""
    sources = [hooks.cuda_source(n, metal_kernels.instantiation(n)) for n in names]
    # All end with the one line that instantiates a kernel.
    text = sources[0] + "".join(s.splitlines(True)[-1] for s in sources[1:])
    headers = {
        "metal_stdlib": HEADER.read_text(),
        "metal_simdgroup": "#include <metal_stdlib>\n",
    }
    code = Nvrtc().compile(text, "kernels", headers, architecture)
    used, kernels = resources(code), disassemble(code, Source(text, "kernels"))
    return {
        name: (
            Counts(
                used[name].registers,
                used[name].local_bytes,
                len(kernels[name].instructions),
            ),
            kernels[name],
        )
        for name in names
    }


# ---- parts of kernels ----------------------------------------------------------------


def part_of_row(functions):
    """Returns the part of topk_lanes that a row always runs once, None for others."""
    if "read_part" in functions:  # This is for rows that do not fill all lanes.
        return None
    if "load" in functions:
        return "read"
    if "bound" in functions:
        return "bound"
    if "place" in functions:
        return None if "preceding" in functions else "order"
    # These are for rows with too many elements above the bound.
    rare = {"reaching_first", "take_best", "put"}
    if "put_best_of_lanes" in functions and not rare & set(functions):
        return "gather"
    return None


def parts_of_lanes(kernel, key_bytes):
    """Counts what topk_lanes executes for two rows of 160 elements, k = 8."""
    parts = dict.fromkeys(["read", "bound", "gather", "order"], 0)
    for instruction in kernel.instructions:
        part = part_of_row(instruction.functions)
        if part:
            parts[part] += 1
    # The compiler unrolls the loop over the candidates by 16. The rest of the code that
    # compares them is for fewer.
    loop = max((x for x in kernel.loops() if "preceding" in x[0].functions), key=len)
    unrolled = sum(i.bytes_read("LDS") for i in loop) / (key_bytes + 4)
    if unrolled != 16:
        raise RuntimeError(f"The loop over candidates was unrolled by {unrolled}.")
    parts["compare"] = len(kernel.inside("preceding")) - len(loop)
    parts["row"] = sum(parts.values()) / 2
    parts["candidate"] = len(loop) / unrolled
    return parts


def parts_of_split(kernel, elements, loops):
    """Counts the first pass of topk_bound_split, which finds the greatest keys.

    The code that reads a thread's elements if the row ends among them is left out.
    """
    instructions = kernel.inside("find_maxima")
    if loops:
        (instructions,) = (
            loop
            for loop in kernel.loops()
            if any("find_maxima" in i.functions for i in loop)
            and any(i.bytes_read("LDG") for i in loop)
        )
    executed = [i for i in instructions if "read_part" not in i.functions]
    return {"element": len(executed) / elements}


def parts(dtype, kernels):
    """Returns {name: counts} of the kernels of which parts are counted."""
    lanes, split, loop = (shape.format(dtype) for shape in (LANES, SPLIT, LOOP))
    return {
        lanes: parts_of_lanes(kernels[lanes], 8 if dtype.endswith("64") else 4),
        split: parts_of_split(kernels[split], 32, loops=False),
        loop: parts_of_split(kernels[loop], 16, loops=True),
    }


def measure(architecture, dtype):
    """Returns ({name: Counts}, {name: counts of parts}) of the kernels of a type."""
    found = compiled(kernels_of(dtype), architecture)
    counts = {name: pair[0] for name, pair in found.items()}
    kernels = {name: pair[1] for name, pair in found.items()}
    return counts, parts(dtype, kernels) if architecture == DETAILED else {}


# ---- comparison with the stored counts -----------------------------------------------

# From CUDA's programming guide, "compute capabilities".
THREADS = {"sm_75": 1024, "sm_86": 1536, "sm_89": 1536, "sm_120": 1536}
REGISTERS = 65536
BLOCK = 256  # The most threads that a block of the kernels has.
MOST_GROWTH = 1.05


def blocks_per_processor(registers, architecture):
    """How many blocks of 256 threads have room in a streaming multiprocessor.

    Registers are allocated to a thread in groups of 8. Other limits than those of
    threads and registers are left out.
    """
    by_threads = THREADS.get(architecture, 2048) // BLOCK
    return min(by_threads, REGISTERS // (BLOCK * 8 * math.ceil(registers / 8)))


def worse_counts(name, architecture, stored, found):
    """Returns a line for each way in which Counts are worse than the stored ones."""
    blocks = [blocks_per_processor(c.registers, architecture) for c in (stored, found)]
    lines = []
    if blocks[1] < blocks[0]:
        lines.append(
            f"{found.registers} registers, was {stored.registers}: {blocks[1]} blocks "
            f"per multiprocessor, was {blocks[0]}"
        )
    if found.local_bytes > stored.local_bytes:
        lines.append(f"{found.local_bytes} bytes spilled, was {stored.local_bytes}")
    if found.instructions > MOST_GROWTH * stored.instructions:
        lines.append(f"{found.instructions} instructions, was {stored.instructions}")
    return [f"{architecture} {name}: {line}" for line in lines]


def worse_parts(name, stored, found):
    """Returns a line for each part that has over 5% more instructions than stored."""
    return [
        f"{name}: {found[part]:.1f} instructions for {part!r}, was {stored[part]:.1f}"
        for part in stored
        if found[part] > MOST_GROWTH * stored[part]
    ]


def load(file=DATA):
    """Returns the stored data, with Counts."""
    data = json.loads(file.read_text())
    for kernels in data["kernels"].values():
        for name, counts in kernels.items():
            kernels[name] = Counts(**counts)
    return data


# ---- tables --------------------------------------------------------------------------


def register_table(data):
    """Makes the table of registers, with a row for each kernel and type."""
    architectures = list(data["kernels"])
    rows = [["kernel", *architectures, f"instructions, {DETAILED}"]]
    for name in data["kernels"][DETAILED]:
        row = [f"`{name}`"]
        for architecture in architectures:
            counts = data["kernels"][architecture][name]
            spilled = f" + {counts.local_bytes} B" if counts.local_bytes else ""
            row.append(f"{counts.registers}{spilled}")
        row.append(str(data["kernels"][DETAILED][name].instructions))
        rows.append(row)
    return report.markdown_table(rows)


def row_table(data):
    """Makes the table of what topk_lanes executes for rows of 160 elements."""
    parts = ["read", "bound", "gather", "order", "compare"]
    rows = [["type", *parts, "a row", "each candidate from 16 on"]]
    for dtype in TYPES:
        counts = data["parts"][LANES.format(dtype)]
        cells = [str(counts[part]) for part in parts]
        row, candidate = counts["row"], counts["candidate"]
        rows.append([dtype, *cells, f"{row:.0f}", f"{candidate:.1f}"])
    return report.markdown_table(rows)


def element_table(data):
    """Makes the table of what topk_bound_split executes for an element."""
    rows = [["kernel", *TYPES]]
    for shape in (SPLIT, LOOP):
        counts = [data["parts"][shape.format(dtype)]["element"] for dtype in TYPES]
        name = shape.format("TYPE")
        rows.append([f"`{name}`", *(f"{count:.1f}" for count in counts)])
    return report.markdown_table(rows)


def update_page(data, page=PAGE):
    report.update(page, "cuda-registers", register_table(data))
    report.update(page, "cuda-row", row_table(data))
    report.update(page, "cuda-element", element_table(data))


def main():
    kernels, detailed = {}, {}
    for architecture in ARCHITECTURES:
        of_architecture = {}
        for dtype in TYPES:
            counts, parts_of_type = measure(architecture, dtype)
            of_architecture |= {n: dataclasses.asdict(c) for n, c in counts.items()}
            detailed |= parts_of_type
            print(architecture, dtype, flush=True)
        kernels[architecture] = {name: of_architecture[name] for name in all_kernels()}
    data = {"nvrtc": compiler_version(), "kernels": kernels, "parts": detailed}
    DATA.write_text(json.dumps(data, indent=1) + "\n")
    update_page(load())


if __name__ == "__main__":
    main()
