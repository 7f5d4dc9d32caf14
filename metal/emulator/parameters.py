"""The parameters of a Metal kernel: which attributes they may carry, and where an
executor that calls kernels without arguments finds them."""

import re
from dataclasses import dataclass

POSITIONS = {
    "thread_position_in_grid",
    "threads_per_grid",
    "thread_position_in_threadgroup",
    "threads_per_threadgroup",
    "threadgroup_position_in_grid",
    "threadgroups_per_grid",
}
INDICES = {
    "thread_index_in_threadgroup",
    "thread_index_in_simdgroup",
    "simdgroup_index_in_threadgroup",
    "simdgroups_per_threadgroup",
    "threads_per_simdgroup",
    "thread_execution_width",
}
# How many of each Metal has.
ARGUMENTS = {"buffer": 31, "threadgroup": 31}
SPACES = {"buffer": {"device", "constant"}, "threadgroup": {"threadgroup"}}
KNOWN = POSITIONS | INDICES | set(ARGUMENTS)
SCALARS = {"uint", "ushort", "uint32_t", "uint16_t"}
VECTORS = {"uint2", "uint3", "ushort2", "ushort3"}


@dataclass
class Parameter:
    declaration: str  # without its attributes, as written
    attribute: str = ""
    index: int = 0  # of a buffer or of threadgroup memory

    @property
    def source(self):
        """The C++ expression that says what the kernel is called with."""
        index = self.index if self.attribute in ARGUMENTS else ""
        return f"::emulator::argument::{self.attribute}({index})"

    @property
    def is_constant(self):
        words = re.findall(r"\w+", self.declaration)
        return self.attribute == "buffer" and "constant" in words


class ParameterReader:
    """Reads one kernel's parameters, in order, and reports what Metal refuses."""

    def __init__(self, stream, report):
        self.stream, self.report = stream, report
        self.used, self.dimensions = set(), {}

    def read(self, begin, end):
        stream, attributes, plain, i = self.stream, [], [], begin
        while i < end:
            if stream.is_attribute(i):
                found, i = stream.attributes(i)
                attributes += found
            else:
                plain.append(stream[i])
                i += 1
        parameter = Parameter("".join(t.text for t in plain))
        flat = " ".join(t.text for t in plain if not t.blank)
        if flat:
            where = next(t for t in plain if not t.blank)
            self._attribute(parameter, flat, attributes, where)
        return parameter

    def _attribute(self, parameter, flat, attributes, where):
        for name, _ in attributes:
            if name not in KNOWN:
                self.report(where, f"unknown parameter attribute [[{name}]]")
        known = [a for a in attributes if a[0] in KNOWN]
        if not known:
            if not attributes:
                self.report(where, f"kernel parameter '{flat}' has no attribute")
            return
        if len(known) > 1:
            self.report(where, f"conflicting attributes on '{flat}'")
        parameter.attribute, argument = known[0]
        if parameter.attribute in ARGUMENTS:
            parameter.index = self._argument(parameter, flat, argument, where)
        else:
            self._builtin(parameter.attribute, flat, where)

    def _argument(self, parameter, flat, argument, where):
        name = parameter.attribute
        if "*" not in flat and "&" not in flat:
            message = f"[[{name}]] parameter '{flat}' must be a pointer or reference"
            self.report(where, message)
        if not SPACES[name] & set(re.findall(r"\w+", flat)):
            spaces = " or ".join(sorted(SPACES[name]))
            message = f"[[{name}]] parameter '{flat}' needs address space {spaces}"
            self.report(where, message)
        if argument is None or not argument.strip().isdigit():
            self.report(where, f"[[{name}]] needs a literal index")
            return 0
        index = int(argument)
        if index >= ARGUMENTS[name]:
            self.report(where, f"[[{name}({index})]] out of range")
        if (name, index) in self.used:
            self.report(where, f"[[{name}({index})]] used twice")
        self.used.add((name, index))
        return index

    def _builtin(self, name, flat, where):
        kind = [word for word in flat.split()[:-1] if word != "const"]
        allowed = SCALARS | (VECTORS if name in POSITIONS else set())
        if len(kind) != 1 or kind[0] not in allowed:
            self.report(where, f"[[{name}]] cannot have type '{' '.join(kind)}'")
        elif name in POSITIONS:
            self.dimensions[name] = kind[0][-1] if kind[0] in VECTORS else "1"
            if len(set(self.dimensions.values())) > 1:
                names = ", ".join(sorted(self.dimensions))
                self.report(where, f"position attributes mix dimensions: {names}")
