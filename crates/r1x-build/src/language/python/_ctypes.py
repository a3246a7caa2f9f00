"""What ctypes knows without native code: names and sizes of C's types.

A finished component has no dynamic linker, so there is nothing to call. Packages that only ask how long a
`c_long` is, or define structures that they never use here, load; what would reach native code fails when it is
reached, as it does on a system that lacks the library.
"""

import struct

__version__ = "1.1.0"
RTLD_LOCAL = RTLD_GLOBAL = 0
FUNCFLAG_CDECL, FUNCFLAG_PYTHONAPI, FUNCFLAG_USE_ERRNO, FUNCFLAG_USE_LASTERROR = 1, 4, 8, 16
SIZEOF_TIME_T = 8
_memmove_addr = _memset_addr = _string_at_addr = _wstring_at_addr = _cast_addr = _memoryview_at_addr = 0

# Types whose letter means something else to `struct`, or nothing.
LETTERS = {"u": "i", "z": "P", "Z": "P", "O": "P", "v": "h", "g": "dd", "X": "P"}
POINTERS = {}


class ArgumentError(Exception):
    pass


def nothing(*_, **__):
    raise OSError("there is no native code in the sandbox")


class CDataType(type):
    def __mul__(cls, length):
        return type(f"{cls.__name__}_Array_{length}", (Array,), {"_type_": cls, "_length_": length})

    __rmul__ = __mul__

    def from_param(cls, value):
        return value

    from_address = from_buffer = from_buffer_copy = in_dll = nothing


class CData(metaclass=CDataType):
    pass


class _SimpleCData(CData):
    _type_ = "i"

    def __init__(self, value=None):
        self.value = 0 if value is None else value

    def __repr__(self):
        return f"{type(self).__name__}({self.value!r})"

    def __bool__(self):
        return bool(self.value)


class Array(CData):
    _type_ = _length_ = None

    def __init__(self, *values):
        self.values = list(values) + [0] * (self._length_ - len(values))
        self.value = bytes(self._length_)

    def __len__(self):
        return self._length_

    def __getitem__(self, at):
        return self.values[at]

    def __setitem__(self, at, value):
        self.values[at] = value


class Structure(CData):
    _fields_ = ()

    def __init__(self, *values, **named):
        for (name, *_), value in zip(self._fields_, values):
            setattr(self, name, value)
        for name, value in named.items():
            setattr(self, name, value)


class Union(Structure):
    pass


class _Pointer(CData):
    pass


class CField:
    pass


class CFuncPtr(CData):
    _argtypes_ = _restype_ = None
    _flags_ = 0

    def __init__(self, where=0, *_):
        if isinstance(where, tuple):
            raise AttributeError(f"{where[0]}: there is no native code in the sandbox")

    __call__ = nothing


def sizeof(kind):
    kind = kind if isinstance(kind, type) else type(kind)
    if issubclass(kind, Array):
        return sizeof(kind._type_) * kind._length_
    if issubclass(kind, _SimpleCData):
        return struct.calcsize(LETTERS.get(kind._type_, kind._type_))
    if issubclass(kind, Union):
        return max((sizeof(field[1]) for field in kind._fields_), default=0)
    if issubclass(kind, Structure):
        size = 0
        for field in kind._fields_:
            part = alignment(field[1])
            size = -(-size // part) * part + sizeof(field[1])
        widest = alignment(kind)
        return -(-size // widest) * widest
    return struct.calcsize("P")


def alignment(kind):
    kind = kind if isinstance(kind, type) else type(kind)
    if issubclass(kind, Array):
        return alignment(kind._type_)
    if issubclass(kind, Structure):
        return max((alignment(field[1]) for field in kind._fields_), default=1)
    return min(sizeof(kind), 8)


def POINTER(kind):
    name = f"LP_{getattr(kind, '__name__', kind)}"
    return POINTERS.setdefault(kind, CDataType(name, (_Pointer,), {"_type_": kind}))


def dlopen(name, _mode=0):
    # `ctypes` opens the interpreter itself when it is imported.
    return 0 if name is None else nothing()


def get_errno():
    return 0


def set_errno(_value):
    return 0


pointer = dlclose = dlsym = byref = addressof = resize = buffer_info = call_function = nothing
