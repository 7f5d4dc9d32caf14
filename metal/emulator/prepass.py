"""The token pre-pass: Metal source in, C++ out, with the same line numbers.

What is Metal's own syntax becomes plain C++: attributes of parameters become default
arguments, threadgroup variables become references to memory that the executor owns,
kernels and `[[host_name]]` instantiations become registrations. Names such as simd_sum
stay: a header of the chosen target declares them. What a C++ front end would not see
(attributes, where threadgroup variables may stand) is checked here.
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
    most_threads: int  # 0 if the source does not say

    @property
    def constants(self):
        """Which buffers are in the constant address space, as a mask."""
        return sum(1 << p.index for p in self.parameters if p.is_constant)


@dataclass
class Translation:
    text: str
    errors: list
    kernels: dict = field(default_factory=dict)  # function name: Kernel
    host_names: dict = field(default_factory=dict)  # host name: expression


class Prepass:
    """One pass over one translation unit; target is "cpu", "cuda" or "opencl".

    Of the two that run, no parameter is left; the third is only looked at.
    """

    def __init__(self, tokens, target):
        self.stream, self.target = Stream(tokens), target
        self.out = []
        self.result = Translation("", [])
        self.variables = 0
        # Sizes of the threadgroup variables in scope, one list per open brace.
        self.scopes = None
        # What follows the closing brace of the function at hand.
        self.pending = ""

    def run(self):
        self._range(0, len(self.stream))
        self.result.text = "".join(self.out)
        return self.result

    def _report(self, token, message):
        error = f"{token.file}:{token.line}: error: {message}"
        if error not in self.result.errors:
            self.result.errors.append(error)

    def _range(self, index, end):
        while index < end:
            index = self._step(index)

    def _step(self, i):
        """Handles what starts at token i; returns the index of what is next."""
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
        if self.scopes is None:
            return
        if text == "{":
            self.scopes.append([])
        elif text == "}":
            self.scopes.pop()

    # ---- functions ----------------------------------------------------------

    def _attributes(self, i):
        stream, first, before = self.stream, i, self.stream.next(i, -1)
        attributes = []
        while stream.is_attribute(i):
            found, i = stream.attributes(i)
            attributes += found
            i = stream.next(i - 1)
        for name, _ in attributes:
            if name not in FUNCTION_ATTRIBUTES | KNOWN:
                self._report(stream[first], f"unknown attribute [[{name}]]")
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
        texts = [argument for name, argument in attributes if name == "host_name"]
        if not texts:
            return None
        name = "".join(re.findall(r'"([^"]*)"', texts[0] or ""))
        if not name:
            self._report(token, "host_name needs a string")
        return name

    def _instantiation(self, first, i, attributes, names):
        """template [[host_name("x")]] [[kernel]] decltype(f<...>) f<...>;"""
        stream, token, end = self.stream, self.stream[first], i
        while stream[end].text != ";":
            end += 1
        match = re.match(r"decltype\s*\((.*)\)\s*(.*)$", stream.flat(i, end))
        name = self._host_name(token, attributes)
        if "kernel" not in names:
            self._report(token, "host_name without [[kernel]]")
        if not name:
            self._report(token, "a kernel's instantiation needs a host_name")
        if not match:
            self._report(token, "instantiate as decltype(f<...>) f<...>")
            return end + 1
        function = re.match(r"[\w:]+", match[2].replace(" ", ""))[0].split("::")[-1]
        kernel = self.result.kernels.get(function)
        if kernel is None:
            self._report(token, f"instantiation of '{function}', which is no kernel")
        if self.target == "cuda":  # the entry instantiates it
            self.out[len(self.out) - 1 - self.out[::-1].index("template")] = ""
        else:
            self.out.append(stream.text(i, end) + ";")
        if kernel and name:
            self.out.append(self._registration(token, name, match[2], kernel))
        return end + 1

    def _registration(self, token, name, expression, kernel):
        if name in self.result.host_names:
            self._report(token, f'host name "{name}" used twice')
        self.result.host_names[name] = expression
        if self.target == "opencl":
            return ""
        if self.target == "cuda":
            threads = kernel.most_threads or 1024
            return f" EMULATOR_ENTRY({name}, {threads}, ({expression}))"
        return (
            f' EMULATOR_REGISTER("{name}", {kernel.constants}u, '
            f"{kernel.most_threads}u, ({expression}))"
        )

    def _kernel(self, i, attributes):
        """At the return type of a kernel's definition."""
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
        self.out.append("EMULATOR_KERNEL " if self.target == "cuda" else "")
        self.out.append(stream.text(i, opening + 1))
        self.out.append(",".join(self._parameter(p) for p in parameters) + ")")
        body = stream.next(closing)
        self.out.append(stream.text(closing + 1, body))
        host_name = self._host_name(stream[i], attributes)
        if stream.text_at(body) != "{":
            self._report(stream[name], f"kernel '{function}' has no body here")
            return body
        self._body(body)
        if not kernel.template:
            host_name = host_name or function
            text = self._registration(stream[name], host_name, function, kernel)
            self.out.append(text)
        elif host_name:
            self._report(stream[name], "host_name on a template")
        return stream.closing(body) + 1

    def _body(self, opening):
        self.scopes = []
        self._range(opening, self.stream.closing(opening) + 1)
        self.scopes = None

    def _parameter(self, parameter):
        if self.target == "opencl":
            return parameter.declaration
        spaces = "|".join(SPACES)
        text = re.sub(rf"\b(?:{spaces})\b", "", parameter.declaration)
        return f"{text} = {parameter.source}" if parameter.attribute else text

    def _threads(self, attributes):
        for name, argument in attributes:
            if name == "max_total_threads_per_threadgroup":
                return int(argument) if (argument or "").strip().isdigit() else 0
        return 0

    def _is_template(self, i):
        """Whether the declaration that holds token i begins with 'template <'."""
        while i >= 0 and self.stream[i].text not in (";", "}", "{"):
            if self.stream[i].text == "template":
                return True
            i -= 1
        return False

    # ---- threadgroup variables ------------------------------------------------

    def _threadgroup_variable(self, i):
        """'threadgroup T x[N];' becomes a reference; other uses return None."""
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
            self._report(token, f"threadgroup variable '{name}' outside a kernel")
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
        """The ';' that ends the declaration, or None inside a parameter list."""
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
        """Where in the declaration its name is; None for pointers and functions."""
        depth, name = 0, None
        for at, token in enumerate(body):
            if token.kind == "name" and depth == 0:
                name = at
            if token.kind != "operator":
                continue
            if depth == 0 and token.text in ("*", "&", "("):
                return None
            if depth == 0 and token.text in ("=", "{"):
                self._report(token, "a threadgroup variable has no initialiser")
                return None
            if depth == 0 and token.text == ",":
                self._report(token, "one threadgroup variable per declaration")
                return None
            depth += (token.text in "<[") - (token.text in ">]")
            depth -= 2 * (token.text == ">>")
        return name


def translate(path, target, include_dirs=(), defines=()):
    """What `path` becomes for the target; lints are in the result's errors."""
    return translate_text(preprocess(path, include_dirs, defines), target)


def translate_text(text, target):
    return Prepass(tokenize(text), target).run()


def require_clean(translation):
    if translation.errors:
        raise SourceError("\n".join(translation.errors))
    return translation
