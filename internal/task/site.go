package task

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mendel/internal/research"
)

// A Site is how one machine provides what a task needs: everything that differs from machine to
// machine stands in it and not in the task. The run records its path and digest.
type Site struct {
	Path   string        // where it was read
	Digest research.Hash // of its content

	Python   string   // interpreter, or directory of a virtual environment; empty: one that has the packages
	Mounts   []Mount  // read-only, beyond what the task asks for
	Devices  []string // such as /dev/nvidia0
	Env      map[string]string
	Data     map[string]string // where entries of the task's data are here
	CacheDir string            // for prepared environments; empty: the user's cache directory
	Editable []EditableInstall
	// Upstreams maps the repository of a task's upstream to the user's checkout of it.
	Upstreams map[string]string
}

// A Mount shows a path of the host read-only to the recipe.
type Mount struct {
	Host  string `json:"host" jsonschema:"absolute path on this machine"`
	Guest string `json:"guest,omitempty" jsonschema:"where the recipe sees it; the same path unless given"`
}

// An EditableInstall is a package that an interpreter imports from a checkout (pip install -e).
// It is remapped to the trial's own tree: otherwise every trial would import the original.
type EditableInstall struct {
	Path   string `json:"path" jsonschema:"absolute path on this machine that the interpreter imports from"`
	Recipe string `json:"recipe" jsonschema:"the directory of the recipe that stands for it; . for the recipe itself"`
}

type siteFile struct {
	Python    string            `json:"python,omitempty" jsonschema:"interpreter, or directory of a virtual environment"`
	Mounts    []Mount           `json:"mounts,omitempty" jsonschema:"what the recipe sees of this machine beyond what the task asks for, read-only"`
	Devices   []string          `json:"devices,omitempty" jsonschema:"device files, such as /dev/nvidia0; globs are expanded"`
	Env       map[string]text   `json:"env,omitempty" jsonschema:"environment variables for every process"`
	Data      map[string]string `json:"data,omitempty" jsonschema:"absolute paths of data entries of the task, by name"`
	CacheDir  string            `json:"cache_dir,omitempty" jsonschema:"directory for prepared environments"`
	Upstreams map[string]string `json:"upstreams,omitempty" jsonschema:"absolute paths of checkouts, by the repository that a task's upstream names: owner/name"`
	Editable  []EditableInstall `json:"editable_installs,omitempty" jsonschema:"packages that the interpreter imports from the checkout that the recipe was copied from"`
}

// LoadSite reads a site file. When it is at fault, the error is [Problems].
func LoadSite(file string) (*Site, error) {
	source, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, research.Hinted(fmt.Errorf("%s: there is no such site file", file), "correct --site, or leave it out")
	}
	if err != nil {
		return nil, fmt.Errorf("read site: %w", err)
	}
	var raw siteFile
	doc := decode(file, source, &raw)
	l := &loader{doc: doc}
	s := l.site(raw)
	if problems := append(doc.problems, l.problems...); len(problems) > 0 {
		return nil, problems.sorted()
	}
	digest := sha256.Sum256(source)
	s.Path, s.Digest = file, research.Hash(hex.EncodeToString(digest[:]))
	return s, nil
}

func (l *loader) site(raw siteFile) *Site {
	s := &Site{Python: raw.Python, Mounts: raw.Mounts, Env: plain(raw.Env), Data: raw.Data, CacheDir: raw.CacheDir, Editable: raw.Editable, Upstreams: raw.Upstreams}
	for name := range raw.Env {
		if strings.HasPrefix(name, "MENDEL_") {
			l.fail(join("env", name), "choose another name", "env: %s is set by the runner", name)
		}
	}
	l.onHost("python", raw.Python)
	if raw.CacheDir != "" && !filepath.IsAbs(raw.CacheDir) {
		l.fail("cache_dir", "write an absolute path", "cache_dir: %q is a relative path", raw.CacheDir)
	}
	for i := range s.Mounts {
		m := &s.Mounts[i]
		at := fmt.Sprintf("mounts[%d]", i)
		l.onHost(at+".host", m.Host)
		m.Guest = path.Clean(orDefault(m.Guest, m.Host))
		switch {
		case !path.IsAbs(m.Guest):
			l.fail(at+".guest", "write an absolute path", "%s.guest: %q is a relative path", at, m.Guest)
		case ofRunner(m.Guest):
			l.fail(at+".guest", "choose another place", "%s.guest: %s belongs to the runner", at, m.Guest)
		}
	}
	for name, p := range raw.Data {
		l.onHost(join("data", name), p)
	}
	for repo, p := range raw.Upstreams {
		l.onHost(join("upstreams", repo), p)
	}
	for i, glob := range raw.Devices {
		at := fmt.Sprintf("devices[%d]", i)
		found, err := filepath.Glob(glob)
		if err != nil || len(found) == 0 || !strings.HasPrefix(glob, "/dev/") {
			l.fail(at, "`ls /dev` shows what there is", "%s: %q names no device of this machine", at, glob)
		}
		s.Devices = append(s.Devices, found...)
	}
	for i, e := range raw.Editable {
		at := fmt.Sprintf("editable_installs[%d]", i)
		if !filepath.IsAbs(e.Path) {
			l.fail(at+".path", "write an absolute path", "%s.path: %q is a relative path", at, e.Path)
		}
		if !filepath.IsLocal(e.Recipe) {
			l.fail(at+".recipe", "write it relative to the recipe's directory", "%s.recipe: %q leads out of the recipe", at, e.Recipe)
		}
	}
	return s
}

// ofRunner says whether the runner puts things of its own at a path of the guest.
func ofRunner(guest string) bool {
	if guest == "/" || guest == "/tmp" {
		return true
	}
	places := []string{"/recipe", "/data", "/out", "/artifact", "/cache", "/evaluator", "/result", "/mendel", "/proc", "/dev", "/sys"}
	return slices.ContainsFunc(places, func(p string) bool { return within(guest, p) })
}

// onHost refuses a path that is relative or not there.
func (l *loader) onHost(at, name string) {
	if !l.doc.has(at) {
		return
	}
	if !filepath.IsAbs(name) {
		l.fail(at, "write an absolute path", "%s: %q is a relative path", at, name)
		return
	}
	if _, err := os.Stat(name); err != nil {
		l.fail(at, "correct the path, or remove it", "%s: %s is not there: %v", at, name, errors.Unwrap(err))
	}
}

// Remap maps each directory that an interpreter imports an editable install from to the place of
// the trial's own tree that stands for it.
func (s *Site) Remap() map[string]string {
	remap := make(map[string]string, len(s.Editable))
	for _, e := range s.Editable {
		remap[e.Path] = path.Join("/recipe", filepath.ToSlash(e.Recipe))
	}
	return remap
}

// FindSite says which site file holds for a task: the one that the user names (flag, which must
// exist), the one beside the task's directory (NAME.site.yaml), the user's own
// ($XDG_CONFIG_HOME/mendel/site.yaml). It returns "" when there is none.
func FindSite(taskDir, flag string) (string, error) {
	if flag != "" {
		if _, err := os.Stat(flag); err != nil {
			return "", research.Hinted(fmt.Errorf("site file: %w", err), "correct --site, or leave it out")
		}
		return filepath.Abs(flag)
	}
	dir, err := filepath.Abs(taskDir)
	if err != nil {
		return "", fmt.Errorf("find site file: %w", err)
	}
	candidates := []string{SiteBeside(dir)}
	if config, err := os.UserConfigDir(); err == nil {
		candidates = append(candidates, filepath.Join(config, "mendel", "site.yaml"))
	}
	for _, c := range candidates {
		switch _, err := os.Stat(c); {
		case err == nil:
			return c, nil
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
			return "", fmt.Errorf("site file: %w", err)
		}
	}
	return "", nil
}

// SiteBeside is the name of the site file that belongs to a task's directory alone.
func SiteBeside(taskDir string) string { return filepath.Clean(taskDir) + ".site.yaml" }

// DataAt is the task's data with the paths of a site (which may be nil). An entry that neither
// the package nor the site provides is an error, unless only certify needs it.
func (t *Task) DataAt(s *Site) ([]Data, error) {
	data := slices.Clone(t.Data)
	for i := range data {
		d := &data[i]
		if s != nil {
			d.Path = orDefault(s.Data[d.Name], d.Path)
		}
		if d.Path == "" && !d.forCertifier() {
			return nil, research.Hinted(fmt.Errorf("data.%s: the task does not contain it, and no site file says where it is", d.Name),
				fmt.Sprintf("write `data: {%s: /absolute/path}` into %s", d.Name, SiteBeside(t.Dir)))
		}
	}
	return data, nil
}
