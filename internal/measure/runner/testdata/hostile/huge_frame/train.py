# Announces more bytes than anyone could hold.
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
    says.write(struct.pack("<IBI", 0xFFFFFFFF, 3, 0xFFFFFFFF))
    says.flush()
    source.read()
else:
    honest.play()
