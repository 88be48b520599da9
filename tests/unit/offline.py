"""Importing this has the kernel end the process when it, or compiled code in it, uses the network.

By seccomp, on x86-64 Linux: connecting a socket, or sending by one, is SIGSYS.
"""

from __future__ import annotations

import ctypes
import os
import struct

CONNECT, SENDTO, SENDMSG, SENDMMSG = 42, 44, 46, 307
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2


def _instruction(code: int, if_equal: int, if_not: int, value: int) -> bytes:
    return struct.pack("HBBI", code, if_equal, if_not, value)


def go_offline() -> None:
    """From now on, for every thread that is made later, too."""
    calls = (CONNECT, SENDTO, SENDMSG, SENDMMSG)
    program = [_instruction(LOAD, 0, 0, 0)]
    for left, call in zip(reversed(range(len(calls))), calls, strict=True):
        # Over the other comparisons and what allows.
        program.append(_instruction(JUMP_IF_EQUAL, left + 1, 0, call))
    program += [_instruction(RETURN, 0, 0, ALLOW), _instruction(RETURN, 0, 0, KILL_PROCESS)]
    instructions = ctypes.create_string_buffer(b"".join(program))
    filter_ = struct.pack("HP", len(program), ctypes.addressof(instructions))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for order in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, MODE_FILTER, filter_)):
        if prctl(*order):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


go_offline()
