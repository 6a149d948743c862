# Calls home.
import socket

import honest

for address in (("127.0.0.1", @PORT@), ("1.1.1.1", 53)):
    try:
        socket.create_connection(address, timeout=0.5).close()
        honest.breach("connected to %s" % (address,))
    except OSError:
        pass
try:
    socket.getaddrinfo("example.com", 80)
    honest.breach("resolved a name")
except OSError:
    pass
honest.play()
