# Speaks to a daemon of the host.
import socket

import honest

for address in ("@SOCKET@", "\0@MARK@"):
    try:
        s = socket.socket(socket.AF_UNIX)
        s.connect(address)
        honest.breach("connected to %r" % address)
    except OSError:
        pass
honest.play()
