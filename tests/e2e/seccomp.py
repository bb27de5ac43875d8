"""A seccomp filter that refuses io_uring with EPERM, as the default profile of Docker does (seccomp(2))."""

import ctypes
import os
import platform
import struct

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000
EPERM = 1

# The same numbers on every architecture: the calls are younger than the common table.
IO_URING_SETUP = 425
IO_URING_REGISTER = 427

LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_IF_GREATER_OR_EQUAL = 0x35  # BPF_JMP | BPF_JGE | BPF_K
JUMP_IF_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K


class Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def refuse_io_uring():
    """Refuses it to this process and its children; for `preexec_fn`."""
    instructions = [
        (LOAD_WORD, 0, 0, 0),  # seccomp_data.nr
        (JUMP_IF_GREATER_OR_EQUAL, 0, 2, IO_URING_SETUP),
        (JUMP_IF_GREATER, 1, 0, IO_URING_REGISTER),
        (RETURN, 0, 0, SECCOMP_RET_ERRNO | EPERM),
        (RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    program = Program(len(instructions), code)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in [
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ]:
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def is_supported():
    """Whether the numbers above are those of this machine."""
    return platform.machine() in ("x86_64", "aarch64")
