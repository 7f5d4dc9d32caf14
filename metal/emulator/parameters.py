"""Reads the parameters of a Metal kernel and checks their attributes.

The executor calls kernels without arguments. Each parameter therefore gets a default
argument that asks the executor for its value.
"""

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
# Attributes with an index, and the number of indices that Metal has.
ARGUMENTS = {"buffer": 31, "threadgroup": 31}
# The address spaces that a parameter with such an attribute may have.
SPACES = {"buffer": {"device", "constant"}, "threadgroup": {"threadgroup"}}
KNOWN = POSITIONS | INDICES | set(ARGUMENTS)
SCALARS = {"uint", "ushort", "uint32_t", "uint16_t"}
VECTORS = {"uint2", "uint3", "ushort2", "ushort3"}


@dataclass
class Parameter:
    declaration: str  # as written, without its attributes
    attribute: str = ""
    index: int = 0  # the N of [[buffer(N)]] or [[threadgroup(N)]]

    @property
    def default(self):
        """The C++ expression of the parameter's value, for a default argument."""
        index = self.index if self.attribute in ARGUMENTS else ""
        return f"::emulator::argument::{self.attribute}({index})"

    @property
    def is_constant(self):
        words = re.findall(r"\w+", self.declaration)
        return self.attribute == "buffer" and "constant" in words


class ParameterReader:
    """Reads the parameters of one kernel in order and reports what Metal refuses.

    report: called with a token, for the place, and a message.
    """

    def __init__(self, stream, report):
        self.stream, self.report = stream, report
        self.used = set()  # (attribute, index) of the parameters so far
        self.dimensions = {}  # {position attribute: number of dimensions, as text}

    def read(self, begin, end):
        """Returns the parameter at tokens begin to end, its attributes checked."""
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
        """Sets the parameter's attribute and index. flat: its declaration, one line."""
        for name, _ in attributes:
            if name not in KNOWN:
                expected = f"expected one of {', '.join(sorted(KNOWN))}"
                message = f"unknown parameter attribute [[{name}]]; {expected}"
                self.report(where, message)
        known = [a for a in attributes if a[0] in KNOWN]
        if not known:
            if not attributes:
                expected = "expected one such as [[buffer(0)]]"
                message = f"kernel parameter '{flat}' has no attribute; {expected}"
                self.report(where, message)
            return
        if len(known) > 1:
            names = " and ".join(f"[[{name}]]" for name, _ in known)
            message = f"conflicting attributes on '{flat}': {names}; expected one"
            self.report(where, message)
        parameter.attribute, argument = known[0]
        if parameter.attribute in ARGUMENTS:
            parameter.index = self._argument(parameter, flat, argument, where)
        else:
            self._builtin(parameter.attribute, flat, where)

    def _argument(self, parameter, flat, argument, where):
        """Checks a buffer or threadgroup parameter and returns its index."""
        name = parameter.attribute
        if "*" not in flat and "&" not in flat:
            message = f"[[{name}]] parameter '{flat}' must be a pointer or reference"
            self.report(where, message)
        if not SPACES[name] & set(re.findall(r"\w+", flat)):
            spaces = " or ".join(sorted(SPACES[name]))
            message = f"[[{name}]] parameter '{flat}' needs address space {spaces}"
            self.report(where, message)
        if argument is None or not argument.strip().isdigit():
            self.report(where, f"[[{name}]] needs a literal index, as in [[{name}(0)]]")
            return 0
        index = int(argument)
        if index >= ARGUMENTS[name]:
            message = f"[[{name}({index})]] out of range 0 to {ARGUMENTS[name] - 1}"
            self.report(where, message)
        if (name, index) in self.used:
            message = f"[[{name}({index})]] used twice; an index names one parameter"
            self.report(where, message)
        self.used.add((name, index))
        return index

    def _builtin(self, name, flat, where):
        """Checks the type of a parameter that holds a position, an index or a size."""
        kind = [word for word in flat.split()[:-1] if word != "const"]
        allowed = SCALARS | (VECTORS if name in POSITIONS else set())
        if len(kind) != 1 or kind[0] not in allowed:
            found, expected = " ".join(kind), ", ".join(sorted(allowed))
            message = f"[[{name}]] cannot have type '{found}'; expected {expected}"
            self.report(where, message)
        elif name in POSITIONS:
            self.dimensions[name] = kind[0][-1] if kind[0] in VECTORS else "1"
            if len(set(self.dimensions.values())) > 1:
                names = ", ".join(sorted(self.dimensions))
                message = f"position attributes mix dimensions: {names}; expected one"
                self.report(where, message)
