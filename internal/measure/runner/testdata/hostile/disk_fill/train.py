# Fills the disk.
import honest

if honest.PHASE == "train":
    for path in ("/out", "/tmp", "/dev/shm"):
        try:
            with open(honest.OUT + "/fill" if path == "/out" else path + "/fill", "wb") as f:
                for _ in range(200):
                    f.write(bytes(1 << 20))
                    f.flush()
        except OSError as e:
            if path == "/out":
                raise
            continue
        honest.breach("200 MiB in " + path)
honest.play()
