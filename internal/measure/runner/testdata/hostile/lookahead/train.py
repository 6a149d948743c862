# A language model that would know the next byte before it commits to a prediction.
import io
import os
import select

import honest

if honest.PHASE == "evaluate":
    import mendel_subject

    hears = int(os.environ["MENDEL_FD_IN"])
    says = os.fdopen(int(os.environ["MENDEL_FD_OUT"]), "wb")
    source = os.fdopen(hears, "rb", buffering=0)
    mendel_subject.numpy = None
    mendel_subject._send(says, mendel_subject.HELLO, {"protocol": 1})
    kind, header, data = mendel_subject._receive(source)
    if select.select([hears], [], [], 0.3)[0]:
        honest.breach("byte t was there before the logits for it were given")
    replies = io.BytesIO()
    for _ in range(2):  # the second one would be read as the reply to a question that was not asked yet
        mendel_subject._send(replies, mendel_subject.REPLY, {"tensors": header["expect"]}, [bytes(8)])
    says.write(replies.getvalue())
    says.flush()
    while True:
        mendel_subject._receive(source)
else:
    honest.play()
