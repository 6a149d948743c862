# Reads credentials from home directories.
import os

import honest

for path in (os.path.expanduser("~/.netrc"), "@HOME@/.netrc", "/root/.netrc", "/root/.ssh/id_rsa", "/etc/shadow"):
    honest.readable(path)
honest.play()
