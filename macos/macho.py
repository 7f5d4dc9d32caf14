"""Reads Mach-O files, the binaries of macOS, on any system.

It reads what a Mac's loader checks before it runs a file: imported and exported
symbols, libraries, the oldest macOS, the layout and the signature.
"""

import dataclasses
import hashlib
import struct

import lief

LIBCXX = "/usr/lib/libc++.1.dylib"
LIBOBJC = "/usr/lib/libobjc.A.dylib"
LIBSYSTEM = "/usr/lib/libSystem.B.dylib"

# Binary.imports has these in place of a library's name. ANYWHERE: the loader searches
# all loaded files for the symbol (flat lookup). COALESCED: several files may define the
# symbol, and the loader picks one definition for all (weak binding).
ANYWHERE, COALESCED = "anywhere", "coalesced"

# Keep LIEF from printing messages. The functions below return the faults instead.
lief.logging.disable()
_Command = lief.MachO.LoadCommand.TYPE
_DYLD_WEAK = lief.MachO.DyldBindingInfo.CLASS.WEAK
_ARM64 = lief.MachO.Header.CPU_TYPE.ARM64
_SIGNATURE, _CODE_DIRECTORY = 0xFADE0CC0, 0xFADE0C02
_ADHOC = 0x2
_FLAT, _WEAK = -2, -3  # library ordinals


@dataclasses.dataclass
class Binary:
    install_name: str | None
    libraries: list[str]
    rpaths: list[str]
    minimum_os: tuple[int, ...]
    is_arm64: bool
    imports: dict[str, str]
    """The library of each symbol that the loader binds."""
    exports: set[str]
    layout_fault: str
    """Empty if there is none."""
    signature_faults: list[str]


def read(path):
    """Returns the Binary in a file. Raises ValueError unless there is exactly one."""
    data = path.read_bytes()
    # Keep `fat` as long as `binary`, which is part of it.
    fat = lief.MachO.parse(str(path))
    if fat is None or fat.size != 1:
        raise ValueError(f"{path} is not a Mach-O file for exactly one architecture.")
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
    """Returns {symbol: library} from the bindings, which are what the loader reads."""
    ordinals = dict(enumerate(libraries, 1)) | {_FLAT: ANYWHERE}
    rebased = {relocation.address for relocation in binary.relocations}
    imports = {}
    for binding in binary.bindings:
        if not binding.has_symbol:
            continue
        symbol = binding.symbol
        if getattr(binding, "binding_class", 0) == _DYLD_WEAK:
            # A rebased address already points to a definition in this file, which
            # stays if no other file has one.
            if binding.address not in rebased:
                imports.setdefault(symbol.name, COALESCED)
        elif binding.library_ordinal == _WEAK:
            # The linker recorded in the symbol table where it found the symbol.
            source = ordinals.get(symbol.library_ordinal, COALESCED)
            imports.setdefault(symbol.name, source)
        else:
            imports[symbol.name] = ordinals[binding.library_ordinal]
    return imports


def _signature_faults(binary, data):
    """Returns the reasons for which a Mac would kill a process that maps this file.

    An arm64 Mac requires a signature with the hash of each page of the file. The
    signature may be ad hoc, that is, without a signer.
    """
    if not binary.has_code_signature:
        return ["no code signature"]
    start = binary.code_signature.data_offset
    magic, _, count = struct.unpack_from(">3I", data, start)
    if magic != _SIGNATURE:
        return ["no signature at the offset that LC_CODE_SIGNATURE gives"]
    for slot in range(count):
        _, offset = struct.unpack_from(">2I", data, start + 12 + 8 * slot)
        (magic,) = struct.unpack_from(">I", data, start + offset)
        if magic == _CODE_DIRECTORY:
            return _code_directory_faults(data, start, start + offset)
    return ["a signature without a code directory"]


def _code_directory_faults(data, signature, at):
    """Compares the file with the hashes in its code directory.

    signature, at: the offsets of the signature and of the code directory in `data`.
    """
    fields = struct.unpack_from(">9I4B", data, at)
    flags, hashes, count, limit = fields[3], fields[4], fields[7], fields[8]
    size, kind, _, page_bits = fields[9:]
    if (size, kind) != (32, 2):
        return [f"hash type {kind} of {size} bytes; expected SHA-256"]
    if limit != signature:
        return [f"{limit} bytes are signed; expected {signature}"]
    faults = [] if flags & _ADHOC else ["the signature is not ad hoc"]
    page = 1 << page_bits
    expected = -(-limit // page)
    if count != expected:
        return [*faults, f"{count} hashes of pages; expected {expected}"]
    for number in range(count):
        code = data[number * page : min((number + 1) * page, limit)]
        found = at + hashes + number * size
        if hashlib.sha256(code).digest() != data[found : found + size]:
            faults.append(f"page {number} is not what was signed")
    return faults
