# Prints for ever.
import honest

if honest.PHASE == "train":
    while True:
        print("y" * 4000)
honest.play()
