"""Says where an interpreter keeps its library, and which installed packages an import really loads."""
import importlib
import json
import os
import sys
import sysconfig

wanted = sys.argv[1:]
at_start = set(sys.modules)  # also what .pth files of unrelated packages loaded
missing, versions = {}, {}
for name in wanted:
    try:
        module = importlib.import_module(name)
        versions[name] = str(getattr(module, "__version__", ""))
    except Exception as error:
        missing[name] = f"{type(error).__name__}: {error}"

files = set()
for name, module in list(sys.modules.items()):
    if name in at_start and name.partition(".")[0] not in wanted:
        continue
    found = getattr(module, "__file__", None)
    if isinstance(found, str):
        files.add(found)
    elif not found:
        try:
            files.update(p for p in getattr(module, "__path__", ()) if isinstance(p, str))
        except Exception:
            pass  # an odd module object

libraries = set()
try:
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[5:]
            if path and path[0].startswith("/") and ".so" in path[0]:
                libraries.add(path[0].rstrip("\n"))
except OSError:
    pass

paths = sysconfig.get_paths()
json.dump({
    "executable": sys.executable,
    "version": sys.version.split()[0],
    "prefix": sys.prefix,
    "base_prefix": sys.base_prefix,
    "stdlib": sorted({paths["stdlib"], paths["platstdlib"]}),
    "base_stdlib": sorted({
        sysconfig.get_path(kind, vars={"installed_base": sys.base_prefix, "base": sys.base_prefix,
                                       "installed_platbase": sys.base_exec_prefix, "platbase": sys.base_exec_prefix})
        for kind in ("stdlib", "platstdlib")}),
    "path": [p for p in sys.path if os.path.isdir(p)],
    "files": sorted(files),
    "libraries": sorted(libraries),
    "versions": versions,
    "missing": missing,
}, sys.stdout)
