# Puts the question into a header that breaks the protocol.
import os
import struct

import honest

if honest.PHASE == "evaluate":
    import mendel_subject

    source = os.fdopen(int(os.environ["MENDEL_FD_IN"]), "rb", buffering=0)
    says = os.fdopen(int(os.environ["MENDEL_FD_OUT"]), "wb")
    mendel_subject.numpy = None
    mendel_subject._send(says, mendel_subject.HELLO, {"protocol": 1})
    kind, header, data = mendel_subject._receive(source)
    (v,) = struct.unpack("<d", data)
    mendel_subject._send(says, mendel_subject.REPLY, {"question %r" % v: 1, "tensors": [{"dtype": str(v), "shape": [int(v)]}]})
    source.read()
else:
    honest.play()
