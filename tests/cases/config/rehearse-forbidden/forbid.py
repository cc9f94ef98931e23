"""Runs a command under a filter that refuses unshare, as container runtimes set it."""
import ctypes, os, platform, struct, sys

UNSHARE = {"x86_64": 272, "aarch64": 97}[platform.machine()]
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 1
code = b"".join(struct.pack("HBBI", *line) for line in
                [(LOAD, 0, 0, 0), (EQUAL, 0, 1, UNSHARE), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)])
lines = ctypes.create_string_buffer(code)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_void_p)]


libc = ctypes.CDLL(None)
program = Program(4, ctypes.cast(lines, ctypes.c_void_p))
assert libc.prctl(38, 1, 0, 0, 0) == 0, "no_new_privs"
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, "seccomp"
os.execvp(sys.argv[1], sys.argv[1:])
