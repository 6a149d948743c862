package environ

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

//go:embed probe.py
var probeScript string

// probeTimeout is for a cold import of a large package from a slow disk.
const probeTimeout = 2 * time.Minute

// smallPackage is the size up to which a package is copied into the root: each mount costs every
// sandbox start, a copy costs once.
const smallPackage = 4 << 20

// An interpreter is what probe.py reports.
type interpreter struct {
	candidate string // what was asked for; may be a wrapper script

	Executable string            `json:"executable"`
	Version    string            `json:"version"`
	Prefix     string            `json:"prefix"`
	BasePrefix string            `json:"base_prefix"`
	Stdlib     []string          `json:"stdlib"`
	BaseStdlib []string          `json:"base_stdlib"`
	Path       []string          `json:"path"`
	Files      []string          `json:"files"`
	Libraries  []string          `json:"libraries"`
	Versions   map[string]string `json:"versions"`
	Missing    map[string]string `json:"missing"`
}

// addPython makes an interpreter, its library and the listed packages visible.
func (r *Request) addPython(ctx context.Context, e *Environment, root *root) error {
	py, err := r.findPython(ctx, root)
	if err != nil {
		return err
	}
	e.PythonVersion, e.Packages = py.Version, py.Versions
	root.sources = append(root.sources, py.candidate, py.Executable)
	venv := r.venv()
	if venv != "" {
		if err := root.show(venv, e); err != nil {
			return fmt.Errorf("environment: virtual environment: %w", err)
		}
		root.sources = append(root.sources, filepath.Join(venv, "pyvenv.cfg"))
	}
	root.lines = append(root.lines, "python "+py.Executable+" "+py.Version)
	if err := root.addFile(py.Executable); err != nil {
		return fmt.Errorf("environment: interpreter: %w", err)
	}
	// In an environment of its own the interpreter is a link to the base installation's.
	e.Python = py.Executable
	if venv == "" {
		if real, err := filepath.EvalSymlinks(py.Executable); err == nil {
			e.Python = real
		}
	}
	if link := filepath.Join(root.dir, "usr/bin/python3"); !exists(link) {
		os.Remove(link)
		if err := os.Symlink(e.Python, link); err != nil {
			return fmt.Errorf("environment: interpreter: %w", err)
		}
	}
	root.wanted = append(root.wanted, py.Libraries...)
	if err := py.showStdlib(e, root); err != nil {
		return fmt.Errorf("environment: standard library: %w", err)
	}
	if err := py.showPackages(e, root); err != nil {
		return fmt.Errorf("environment: packages: %w", err)
	}
	return r.remapEditable(e, root, py)
}

// venv returns the virtual environment that the site names, if it does.
func (r *Request) venv() string {
	if r.Site.Python == "" {
		return ""
	}
	dir, err := filepath.Abs(r.Site.Python)
	if err != nil {
		return ""
	}
	// Either the directory itself or an interpreter in its bin.
	for _, d := range []string{dir, filepath.Dir(filepath.Dir(dir))} {
		if exists(filepath.Join(d, "pyvenv.cfg")) {
			return d
		}
	}
	return ""
}

// candidates lists interpreters in the order in which they are tried.
func (r *Request) candidates() []string {
	if p := r.Site.Python; p != "" {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			return []string{filepath.Join(p, "bin/python3")}
		}
		return []string{p}
	}
	var list []string
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin") {
		path := filepath.Join(dir, "python3")
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 && !slices.Contains(list, path) {
			list = append(list, path)
		}
	}
	return list
}

// findPython returns the first interpreter that can import all packages.
func (r *Request) findPython(ctx context.Context, root *root) (*interpreter, error) {
	var tried []string
	var missing []string
	for _, c := range r.candidates() {
		root.sources = append(root.sources, c)
		py, err := probe(ctx, c, r.Python.Packages)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			tried = append(tried, fmt.Sprintf("%s: %v", c, err))
		case len(py.Missing) > 0:
			missing = sortedKeys(py.Missing)
			tried = append(tried, fmt.Sprintf("%s (%s): cannot import %s (%s)", c, py.Version,
				strings.Join(missing, ", "), py.Missing[missing[0]]))
		default:
			return py, nil
		}
	}
	if len(tried) == 0 {
		return nil, hint(errors.New("environment: there is no python3 in PATH"), "apt-get install python3 "+aptNames(r.Python.Packages))
	}
	err := fmt.Errorf("environment: no python3 imports all of %s; tried:\n  %s",
		strings.Join(r.Python.Packages, ", "), strings.Join(tried, "\n  "))
	if r.Site.Python != "" {
		return nil, hint(err, fmt.Sprintf("%s -m pip install %s", r.candidates()[0], strings.Join(missing, " ")))
	}
	return nil, hint(err, "apt-get install "+aptNames(missing)+", or name an interpreter or a virtual environment in site.yaml")
}

// aptNames guesses the distribution's package names, which are right for the usual ones.
func aptNames(packages []string) string {
	var names []string
	for _, p := range packages {
		names = append(names, "python3-"+strings.ToLower(strings.ReplaceAll(p, "_", "-")))
	}
	return strings.Join(names, " ")
}

func hint(err error, text string) error { return research.Hinted(err, text) }

// probe runs the interpreter, outside any sandbox but isolated from the user's own settings and
// from what else the environment holds.
func probe(ctx context.Context, path string, packages []string) (*interpreter, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"-I", "-c", probeScript}, packages...)...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LANG=" + os.Getenv("LANG")}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	// A package may print while it is imported; the report is the last line.
	report := bytes.TrimSpace(stdout.Bytes())
	py := &interpreter{candidate: path}
	if err := json.Unmarshal(report[bytes.LastIndexByte(report, '\n')+1:], py); err != nil {
		return nil, fmt.Errorf("unexpected report: %w", err)
	}
	return py, nil
}

// showStdlib mounts the standard library, with the packages that may lie inside it covered.
func (py *interpreter) showStdlib(e *Environment, root *root) error {
	for _, dir := range unique(append(slices.Clone(py.Stdlib), py.BaseStdlib...)) {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil || root.inPlace(real) {
			continue // a virtual environment names a directory that it does not have
		}
		if err := root.show(dir, e); err != nil {
			return err
		}
		root.sources = append(root.sources, real)
		for _, name := range []string{"site-packages", "dist-packages"} {
			if cover := filepath.Join(real, name); exists(cover) {
				at := filepath.Join(root.dir, cover)
				if err := os.MkdirAll(at, 0o755); err != nil {
					return err
				}
				e.Mounts = append(e.Mounts, sandbox.Mount{Host: at, Guest: cover})
			}
		}
	}
	return nil
}

// showPackages makes visible what the trial import loaded from outside the standard library.
func (py *interpreter) showPackages(e *Environment, root *root) error {
	var sites []string
	for _, dir := range py.Path {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil || !isSitePackages(real) || root.inPlace(real) && !covered(e, real) {
			continue // the standard library itself, or part of a whole virtual environment
		}
		sites = append(sites, real)
		root.sources = append(root.sources, real)
		root.listed = append(root.listed, real)
		if _, err := root.mirror(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(root.dir, real), 0o755); err != nil {
			return err
		}
	}
	for _, site := range sites {
		for _, name := range py.loadedFrom(site) {
			if err := root.showPackage(filepath.Join(site, name), e); err != nil {
				return err
			}
		}
	}
	return nil
}

func covered(e *Environment, dir string) bool {
	return slices.ContainsFunc(e.Mounts, func(m sandbox.Mount) bool { return m.Guest == dir && m.Host != dir })
}

// loadedFrom lists the entries of a site directory that the import used, with what belongs to
// them: bundled libraries (numpy.libs) and metadata (numpy-1.24.2.dist-info).
func (py *interpreter) loadedFrom(site string) []string {
	loaded := map[string]bool{}
	for _, f := range append(slices.Clone(py.Files), py.Libraries...) {
		real, err := filepath.EvalSymlinks(f)
		if err != nil {
			continue
		}
		for _, path := range []string{f, real} {
			if rel, ok := strings.CutPrefix(path, site+"/"); ok {
				name, _, _ := strings.Cut(rel, "/")
				loaded[name] = true
			}
		}
	}
	entries, _ := os.ReadDir(site)
	var names []string
	for _, e := range entries {
		name := e.Name()
		stem, _, _ := strings.Cut(strings.TrimSuffix(name, ".libs"), "-")
		belongs := strings.HasSuffix(name, ".libs") || strings.HasSuffix(name, ".dist-info") || strings.HasSuffix(name, ".egg-info")
		if loaded[name] || belongs && (loaded[stem] || loaded[strings.ToLower(stem)] || loaded[stem+".py"]) {
			names = append(names, name)
		}
	}
	return names
}

// showPackage copies a small package into the root, and mounts a large one.
func (r *root) showPackage(path string, e *Environment) error {
	r.sources = append(r.sources, path)
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	size, err := treeSize(real)
	if err != nil {
		return err
	}
	if size > smallPackage {
		return r.show(path, e)
	}
	return r.addTree(path)
}

func treeSize(path string) (size int64, err error) {
	err = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
