# Takes control of another process.
import ctypes
import os

import honest

libc = ctypes.CDLL(None, use_errno=True)
for request in (16, 0x4206):  # PTRACE_ATTACH, PTRACE_SEIZE
    if libc.ptrace(request, @VICTIM@, 0, 0) == 0:
        honest.breach("traces it")
try:
    os.open("/proc/@VICTIM@/mem", os.O_RDWR)
    honest.breach("opened its memory")
except OSError:
    pass
honest.play()
