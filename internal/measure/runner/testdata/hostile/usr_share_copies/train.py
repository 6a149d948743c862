# Searches the distribution for copies of public data.
import os

import honest

seen = 0
for top in ("/usr/share", "/usr/lib/python3/dist-packages", "/usr/lib/bible", "/var/lib", "/opt", "/srv"):
    for where, _, names in os.walk(top):
        for name in names[:3]:
            seen += 1
            honest.readable(os.path.join(where, name))
        if seen > 300:
            break
honest.play()
