"""Reads what a Mach-O file asks of others and offers them, and whether it is signed.

Everything about a binary that a Mac's loader would look at before it runs it, as far
as it can be read on another system.
"""

import dataclasses
import hashlib
import struct

import lief

LIBCXX = "/usr/lib/libc++.1.dylib"
LIBOBJC = "/usr/lib/libobjc.A.dylib"
LIBSYSTEM = "/usr/lib/libSystem.B.dylib"

# Where a symbol comes from that is looked for in everything that is loaded, and
# where one does of which there may be several, of which the loader takes one.
ANYWHERE, COALESCED = "anywhere", "coalesced"

# LIEF writes to the terminal what it reports by value too.
lief.logging.disable()
_Command = lief.MachO.LoadCommand.TYPE
_DYLD_WEAK = lief.MachO.DyldBindingInfo.CLASS.WEAK
_ARM64 = lief.MachO.Header.CPU_TYPE.ARM64
_SIGNATURE, _CODE_DIRECTORY = 0xFADE0CC0, 0xFADE0C02
_ADHOC = 0x2
_FLAT, _WEAK = -2, -3


@dataclasses.dataclass
class Binary:
    install_name: str | None
    libraries: list[str]
    rpaths: list[str]
    minimum_os: tuple[int, ...]
    is_arm64: bool
    imports: dict[str, str]
    """The name of each symbol that the loader binds, and the library it is from."""
    exports: set[str]
    layout_fault: str
    signature_faults: list[str]


def read(path):
    """The one architecture's worth of Mach-O in a file."""
    data = path.read_bytes()
    # The slices of a FatBinary die with it.
    fat = lief.MachO.parse(str(path))
    if fat is None or fat.size != 1:
        raise ValueError(f"{path} is not a Mach-O file for one architecture.")
    binary = fat.at(0)
    own = [x.name for x in binary.libraries if x.command == _Command.ID_DYLIB]
    libraries = [x.name for x in binary.libraries if x.command != _Command.ID_DYLIB]
    version = binary.build_version
    return Binary(
        install_name=own[0] if own else None,
        libraries=libraries,
        rpaths=[c.path for c in binary.commands if c.command == _Command.RPATH],
        minimum_os=tuple(version.minos) if version else (),
        is_arm64=binary.header.cpu_type == _ARM64,
        imports=_imports(binary, libraries),
        exports={symbol.name for symbol in binary.exported_symbols},
        layout_fault=lief.MachO.check_layout(binary)[1],
        signature_faults=_signature_faults(binary, data),
    )


def _imports(binary, libraries):
    # What the loader reads; of the symbol table it does not.
    ordinals = dict(enumerate(libraries, 1)) | {_FLAT: ANYWHERE}
    rebased = {relocation.address for relocation in binary.relocations}
    imports = {}
    for binding in binary.bindings:
        if not binding.has_symbol:
            continue
        symbol = binding.symbol
        if getattr(binding, "binding_class", 0) == _DYLD_WEAK:
            # What the file points to itself stays, if there is no other.
            if binding.address not in rebased:
                imports.setdefault(symbol.name, COALESCED)
        elif binding.library_ordinal == _WEAK:
            # The symbol table has the library that the linker found it in.
            source = ordinals.get(symbol.library_ordinal, COALESCED)
            imports.setdefault(symbol.name, source)
        else:
            imports[symbol.name] = ordinals[binding.library_ordinal]
    return imports


def _signature_faults(binary, data):
    """Why a Mac would kill a process that maps this file; empty if it would not.

    An arm64 Mac wants every page's hash in the file, by whomever it is signed.
    """
    if not binary.has_code_signature:
        return ["no code signature"]
    start = binary.code_signature.data_offset
    magic, _, count = struct.unpack_from(">3I", data, start)
    if magic != _SIGNATURE:
        return ["no signature where one is announced"]
    for slot in range(count):
        _, offset = struct.unpack_from(">2I", data, start + 12 + 8 * slot)
        (magic,) = struct.unpack_from(">I", data, start + offset)
        if magic == _CODE_DIRECTORY:
            return _code_directory_faults(data, start, start + offset)
    return ["a signature without a code directory"]


def _code_directory_faults(data, signature, at):
    fields = struct.unpack_from(">9I4B", data, at)
    flags, hashes, count, limit = fields[3], fields[4], fields[7], fields[8]
    size, kind, _, page_bits = fields[9:]
    if (size, kind) != (32, 2):
        return ["hashes other than SHA-256"]
    if limit != signature:
        return [f"{limit} bytes signed, of {signature}"]
    faults = [] if flags & _ADHOC else ["signed by someone, not ad hoc"]
    page = 1 << page_bits
    if count != -(-limit // page):
        return [*faults, f"{count} hashes for {limit} bytes"]
    for number in range(count):
        code = data[number * page : min((number + 1) * page, limit)]
        found = at + hashes + number * size
        if hashlib.sha256(code).digest() != data[found : found + size]:
            faults.append(f"page {number} is not what was signed")
    return faults
