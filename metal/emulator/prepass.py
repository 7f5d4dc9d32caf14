"""The pre-pass: translates Metal source to C++ and keeps each token on its line.

It rewrites the syntax that only Metal has:
- attributes of kernel parameters become default arguments;
- threadgroup variables become references to memory that the executor owns;
- a kernel or a `[[host_name]]` instantiation is followed by code that registers it.
Names such as simd_sum stay: a header of the chosen target declares them.

It also checks what a C++ compiler does not: attributes, and that threadgroup variables
stand in kernels.
"""

import re
from dataclasses import dataclass, field

from .parameters import KNOWN, ParameterReader
from .tokens import SourceError, Stream, preprocess, tokenize

SPACES = {"device", "constant", "threadgroup", "thread"}
FUNCTION_ATTRIBUTES = {
    "kernel",
    "host_name",
    "max_total_threads_per_threadgroup",
    "maybe_unused",
    "nodiscard",
}
THREADGROUP_LIMIT = 32768


@dataclass
class Kernel:
    parameters: list
    template: bool
    most_threads: int  # max_total_threads_per_threadgroup, 0 if the source has none

    @property
    def constants(self):
        """A bit mask of the buffer indices in the constant address space."""
        return sum(1 << p.index for p in self.parameters if p.is_constant)


@dataclass
class Translation:
    text: str
    errors: list
    kernels: dict = field(default_factory=dict)  # {function name: Kernel}
    host_names: dict = field(default_factory=dict)  # {host name: instantiated function}


class Prepass:
    """Translates one translation unit for a target: "cpu" or "opencl".

    "cpu" produces kernels that run, called without arguments. "opencl" produces source
    that is only checked, so it keeps parameters and address spaces.
    """

    def __init__(self, tokens, target):
        self.stream, self.target = Stream(tokens), target
        self.out = []
        self.result = Translation("", [])
        self.variables = 0
        # The names of the threadgroup variables in scope, a list per open brace.
        # None outside of kernels.
        self.scopes = None

    def run(self):
        """Returns the Translation of all tokens."""
        self._range(0, len(self.stream))
        self.result.text = "".join(self.out)
        return self.result

    def _report(self, token, message):
        """Adds an error at the token's place, unless that line has the same one."""
        error = f"{token.file}:{token.line}: error: {message}"
        if error not in self.result.errors:
            self.result.errors.append(error)

    def _range(self, index, end):
        while index < end:
            index = self._step(index)

    def _step(self, i):
        """Translates what starts at token i and returns the index behind it."""
        stream, token = self.stream, self.stream[i]
        if token.kind == "operator":
            if stream.is_attribute(i):
                return self._attributes(i)
            self._brace(token.text)
        elif token.kind == "name":
            if token.text == "kernel" and stream.text_at(stream.next(i)) == "void":
                return self._kernel(stream.next(i), [("kernel", None)])
            if token.text == "goto":
                self._report(token, "Metal has no goto")
            if token.text == "threadgroup":
                after = self._threadgroup_variable(i)
                if after:
                    return after
            if token.text in SPACES and self.target != "opencl":
                return i + 1
        self.out.append(token.text)
        return i + 1

    def _brace(self, text):
        """Opens or closes a scope if `text` is a brace inside a kernel."""
        if self.scopes is None:
            return
        if text == "{":
            self.scopes.append([])
        elif text == "}":
            self.scopes.pop()

    # ---- functions ----------------------------------------------------------

    def _attributes(self, i):
        """Translates what follows the attributes that start at token i."""
        stream, first, before = self.stream, i, self.stream.next(i, -1)
        attributes = []
        while stream.is_attribute(i):
            found, i = stream.attributes(i)
            attributes += found
            i = stream.next(i - 1)
        for name, _ in attributes:
            if name not in FUNCTION_ATTRIBUTES | KNOWN:
                expected = f"expected one of {', '.join(sorted(FUNCTION_ATTRIBUTES))}"
                message = f"unknown attribute [[{name}]]; {expected}"
                self._report(stream[first], message)
        self.out.append(stream.newlines(first, i))
        names = {name for name, _ in attributes}
        if stream.text_at(i) == "kernel":
            names.add("kernel")
            i = stream.next(i)
        if not names & {"kernel", "host_name"}:
            return i
        if stream.text_at(before) == "template":
            return self._instantiation(first, i, attributes, names)
        return self._kernel(i, attributes)

    def _host_name(self, token, attributes):
        """Returns the name in [[host_name("name")]], None without that attribute."""
        texts = [argument for name, argument in attributes if name == "host_name"]
        if not texts:
            return None
        name = "".join(re.findall(r'"([^"]*)"', texts[0] or ""))
        if not name:
            self._report(token, 'host_name needs a string, as in [[host_name("f")]]')
        return name

    def _instantiation(self, first, i, attributes, names):
        """Translates `template [[host_name("x")]] [[kernel]] decltype(f<...>) f<...>;`.

        first: the token of the first "[["; i: the token behind the last "]]".
        """
        stream, token, end = self.stream, self.stream[first], i
        while stream[end].text != ";":
            end += 1
        match = re.match(r"decltype\s*\((.*)\)\s*(.*)$", stream.flat(i, end))
        name = self._host_name(token, attributes)
        if "kernel" not in names:
            self._report(token, "an instantiation with host_name needs [[kernel]]")
        if not name:
            self._report(token, "a kernel's instantiation needs a host_name")
        if not match:
            self._report(token, "an instantiation must be 'decltype(f<...>) f<...>'")
            return end + 1
        function = re.match(r"[\w:]+", match[2].replace(" ", ""))[0].split("::")[-1]
        kernel = self.result.kernels.get(function)
        if kernel is None:
            message = f"instantiation of '{function}'; no kernel above has this name"
            self._report(token, message)
        self.out.append(stream.text(i, end) + ";")
        if kernel and name:
            self.out.append(self._registration(token, name, match[2], kernel))
        return end + 1

    def _registration(self, token, name, expression, kernel):
        """Returns the code that makes the function `expression` known as `name`."""
        if name in self.result.host_names:
            message = f'host name "{name}" used twice; expected a unique name'
            self._report(token, message)
        self.result.host_names[name] = expression
        if self.target == "opencl":
            return ""
        return (
            f' EMULATOR_REGISTER("{name}", {kernel.constants}u, '
            f"{kernel.most_threads}u, ({expression}))"
        )

    def _kernel(self, i, attributes):
        """Translates the definition of a kernel whose return type is token i."""
        stream, name = self.stream, self.stream.next(i)
        opening = stream.next(name)
        if stream.text_at(i) != "void" or stream.text_at(opening) != "(":
            self._report(stream[i], "a kernel must be 'void name(...)'")
            return i
        closing = stream.closing(opening)
        reader = ParameterReader(stream, self._report)
        ranges = stream.split(opening + 1, closing)
        parameters = [reader.read(*r) for r in ranges]
        kernel = Kernel(parameters, self._is_template(i), self._threads(attributes))
        function = stream[name].text
        self.result.kernels[function] = kernel
        self.out.append(stream.text(i, opening + 1))
        self.out.append(",".join(self._parameter(p) for p in parameters) + ")")
        body = stream.next(closing)
        self.out.append(stream.text(closing + 1, body))
        host_name = self._host_name(stream[i], attributes)
        if stream.text_at(body) != "{":
            message = f"kernel '{function}' has no body; expected a definition"
            self._report(stream[name], message)
            return body
        self._body(body)
        if not kernel.template:
            host_name = host_name or function
            text = self._registration(stream[name], host_name, function, kernel)
            self.out.append(text)
        elif host_name:
            message = "a template has no host_name; expected it on instantiations"
            self._report(stream[name], message)
        return stream.closing(body) + 1

    def _body(self, opening):
        """Translates a kernel's body, whose "{" is token `opening`."""
        self.scopes = []
        self._range(opening, self.stream.closing(opening) + 1)
        self.scopes = None

    def _parameter(self, parameter):
        """Returns the parameter's declaration for the target."""
        if self.target == "opencl":
            return parameter.declaration
        spaces = "|".join(SPACES)
        text = re.sub(rf"\b(?:{spaces})\b", "", parameter.declaration)
        return f"{text} = {parameter.default}" if parameter.attribute else text

    def _threads(self, attributes):
        """Returns the kernel's limit of threads per threadgroup, 0 without one."""
        for name, argument in attributes:
            if name == "max_total_threads_per_threadgroup":
                return int(argument) if (argument or "").strip().isdigit() else 0
        return 0

    def _is_template(self, i):
        """Whether "template" stands between the last statement and token i."""
        while i >= 0 and self.stream[i].text not in (";", "}", "{"):
            if self.stream[i].text == "template":
                return True
            i -= 1
        return False

    # ---- threadgroup variables ------------------------------------------------

    def _threadgroup_variable(self, i):
        """Translates `threadgroup T x[N];` at token i and returns the index behind it.

        Returns None if `threadgroup` at i does not begin such a declaration.
        """
        stream = self.stream
        if stream.text_at(stream.next(i, -1)) not in ("", ";", "{", "}", ":"):
            return None
        end = self._declaration_end(stream.next(i))
        if end is None:
            return None
        body = [t for t in stream[stream.next(i) : end] if not t.blank]
        name_at = self._declared_name(body)
        if name_at is None:
            return None
        token, name = stream[i], body[name_at].text
        if self.scopes is None:
            message = f"threadgroup variable '{name}' outside a kernel's body"
            self._report(token, message)
            return None
        self.variables += 1
        kind = " ".join(t.text for t in body[:name_at])
        bounds = "".join(t.text for t in body[name_at + 1 :])
        self.scopes[-1].append(name)
        total = " + ".join(f"sizeof({n})" for s in self.scopes for n in s)
        space = "threadgroup " if self.target == "opencl" else ""
        self.out.append(
            f"{space}auto& {name} = *::emulator::threadgroup_variable<"
            f'{self.variables}, {kind} {bounds}>("{name}"); static_assert('
            f'{total} <= {THREADGROUP_LIMIT}, "threadgroup memory over 32 KiB");'
        )
        self.out.append(stream.newlines(i, end))
        return end + 1

    def _declaration_end(self, i):
        """Returns the index of the ";" that ends the declaration at token i.

        Returns None if a bracket closes first, as it does in a parameter list.
        """
        depth = 0
        while i < len(self.stream):
            token = self.stream[i]
            if token.kind == "operator":
                if token.text == ";" and depth == 0:
                    return i
                depth += (token.text in "([{") - (token.text in ")]}")
                if depth < 0:
                    return None
            i += 1
        return None

    def _declared_name(self, body):
        """Returns the index of the declared name; None for pointers and functions.

        body: the declaration's tokens without blanks. The index is one into this list.
        """
        depth, name = 0, None
        for at, token in enumerate(body):
            if token.kind == "name" and depth == 0:
                name = at
            if token.kind != "operator":
                continue
            if depth == 0 and token.text in ("*", "&", "("):
                return None
            if depth == 0 and token.text in ("=", "{"):
                self._report(token, "a threadgroup variable cannot have an initialiser")
                return None
            if depth == 0 and token.text == ",":
                message = "expected one threadgroup variable per declaration"
                self._report(token, message)
                return None
            depth += (token.text in "<[") - (token.text in ">]")
            depth -= 2 * (token.text == ">>")
        return name


def translate(path, target, include_dirs=(), defines=()):
    """Returns the Translation of a Metal source file for the target.

    Raises SourceError if the preprocessor refuses the file. What the pre-pass itself
    refuses is in the result's errors.
    """
    text = preprocess(path, include_dirs, defines)
    return Prepass(tokenize(text), target).run()


def require_clean(translation):
    """Raises SourceError if the translation has errors."""
    if translation.errors:
        raise SourceError("\n".join(translation.errors))
