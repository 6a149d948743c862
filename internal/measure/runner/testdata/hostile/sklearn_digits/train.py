# Takes the labels from a package that happens to be installed on the host.
import sys

import honest

sys.path += ["/usr/lib/python3/dist-packages", "/usr/local/lib/python3/dist-packages"]
try:
    from sklearn.datasets import load_digits

    honest.breach("%d labels" % len(load_digits().target))
except (ImportError, OSError):
    pass
honest.readable("/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz")
honest.play()
