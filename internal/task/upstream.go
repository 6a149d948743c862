package task

import (
	"bytes"
	"context"
	"crypto/sha1" // #nosec: git's own name of a content, compared with the pinned commit's
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"mendel/internal/research"
)

// Upstream says where a recipe comes from. With Files it is taken from there: the package ships
// only the pins, and each user brings a checkout.
type Upstream struct {
	Repo, Commit string
	Files        []UpstreamFile
	Patches      []Patch
}

// An UpstreamFile is one file of a repository, or several, that become the recipe.
type UpstreamFile struct {
	Path   string // in the repository; may be a glob
	As     string // in the recipe; empty: the same
	SHA256 string // of what the repository has; empty: the commit alone vouches for it
	Unwrap string // "" or lzma-base85
}

// A Patch is one change that a task makes to upstream's files.
type Patch struct {
	File, Find, Replace, Why string
}

func (u *Upstream) provides() bool { return u != nil && len(u.Files) > 0 }

// NeedsRecipe says whether the recipe must still be taken from a checkout.
func (t *Task) NeedsRecipe() bool { return t.Upstream.provides() && t.taken == nil }

// WithRecipe loads the task once more, with the recipe from a checkout of its pinned upstream.
func (t *Task) WithRecipe(ctx context.Context, checkout string) (*Task, error) {
	if !t.Upstream.provides() {
		return nil, research.Misuse("Leave it out.", "%s ships its own recipe, and takes none from %s", t.Name, checkout)
	}
	files, err := t.Upstream.take(ctx, checkout)
	if err != nil {
		return nil, err
	}
	return load(t.Dir, files)
}

// Pins are what event 1 says of a recipe from upstream; nil for one that the package ships.
func (t *Task) Pins() *research.UpstreamPins {
	if !t.Upstream.provides() {
		return nil
	}
	p := &research.UpstreamPins{Repo: t.Upstream.Repo, Commit: t.Upstream.Commit, Patches: len(t.Upstream.Patches)}
	for _, f := range t.Upstream.Files {
		p.Files = append(p.Files, research.UpstreamPin{Path: f.Path, SHA256: f.SHA256})
	}
	return p
}

// missing is the error of whoever wants the recipe before a checkout is named.
func (u *Upstream) missing() error {
	return research.Hinted(fmt.Errorf("the recipe is %s's and not part of the task", u.Repo),
		fmt.Sprintf("`%s`, then --recipe DIR, or `upstreams: {%s: /absolute/DIR}` in the site file", u.clone("DIR"), u.Repo))
}

// clone is what to type to get the pinned commit.
func (u *Upstream) clone(dir string) string {
	url := u.Repo
	if !strings.Contains(url, ":") {
		url = "https://github.com/" + url
	}
	return fmt.Sprintf("git clone %s %s && git -C %s checkout %s", url, dir, dir, u.Commit)
}

// take reads the files from a checkout. It believes neither the working tree nor the index: every
// file is compared with what the pinned commit, or the pinned sum, says of it.
func (u *Upstream) take(ctx context.Context, dir string) ([]File, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find recipe: %w", err)
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		return nil, research.Hinted(fmt.Errorf("%s: there is no such directory", dir), u.clone(dir))
	}
	tracked, err := u.tracked(ctx, abs, dir)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, want := range u.Files {
		names := []string{want.Path}
		if hasWildcard(want.Path) {
			names = slices.DeleteFunc(slices.Sorted(tracked.names()), func(name string) bool { return !matchGlob(want.Path, name) })
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("%s: commit %s has no file that fits %s", dir, u.Commit, want.Path)
		}
		for _, name := range names {
			f, err := u.file(abs, dir, name, want, tracked)
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
	}
	return files, nil
}

// A listing has the git object of each file of a commit; nil outside a git repository.
type listing map[string]string

func (l listing) names() func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range l {
			if !yield(name) {
				return
			}
		}
	}
}

// tracked lists the pinned commit, which must be the one that is checked out.
func (u *Upstream) tracked(ctx context.Context, abs, shown string) (listing, error) {
	c := &checkout{dir: abs}
	top, err := c.git(ctx, "rev-parse", "--show-toplevel")
	if real, _ := filepath.EvalSymlinks(abs); err != nil || strings.TrimSpace(top) != real {
		if _, missing := exec.LookPath("git"); missing != nil || u.summed() {
			return nil, nil // an unpacked archive, say
		}
		return nil, research.Hinted(fmt.Errorf("%s is not the top of a git checkout, so that nothing says whether its files are those of commit %s", shown, u.Commit), u.clone("DIR"))
	}
	head, err := c.git(ctx, "rev-parse", "--verify", "--quiet", "HEAD")
	if head = strings.TrimSpace(head); err != nil || head != u.Commit {
		return nil, research.Hinted(fmt.Errorf("%s is at commit %s, and the task is made for %s", shown, orDefault(head, "none"), u.Commit),
			fmt.Sprintf("git -C %s fetch && git -C %s checkout %s", shown, shown, u.Commit))
	}
	text, err := c.git(ctx, "ls-tree", "-r", "-z", u.Commit)
	if err != nil {
		return nil, err
	}
	l := listing{}
	for entry := range strings.SplitSeq(text, "\x00") {
		meta, name, ok := strings.Cut(entry, "\t")
		if fields := strings.Fields(meta); ok && len(fields) == 3 && strings.HasPrefix(fields[0], "100") { // regular files
			l[name] = fields[2]
		}
	}
	return l, nil
}

// summed says whether every file is pinned by its own sum, so that no repository is needed.
func (u *Upstream) summed() bool {
	return !slices.ContainsFunc(u.Files, func(f UpstreamFile) bool { return f.SHA256 == "" })
}

// file reads and checks one file, and takes it out of its wrapping.
func (u *Upstream) file(abs, shown, name string, want UpstreamFile, tracked listing) (File, error) {
	object, known := tracked[name]
	if tracked != nil && !known {
		return File{}, research.Hinted(fmt.Errorf("%s: commit %s has no file %s", shown, u.Commit, name), "name the top of the checkout")
	}
	at := filepath.Join(abs, filepath.FromSlash(name))
	info, err := os.Lstat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return File{}, research.Hinted(fmt.Errorf("%s: %s is not there", shown, name), u.restore(shown, name, tracked))
	case err != nil:
		return File{}, fmt.Errorf("read recipe: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxRecipeFile:
		return File{}, research.Hinted(fmt.Errorf("%s: %s is not a regular file of at most %d bytes", shown, name, maxRecipeFile), u.restore(shown, name, tracked))
	}
	data, err := os.ReadFile(at)
	if err != nil {
		return File{}, fmt.Errorf("read recipe: %w", err)
	}
	if found := gitObject(data, len(object)); known && found != object {
		return File{}, research.Hinted(fmt.Errorf("%s: %s is not what commit %s has (git object %s, expected %s)", shown, name, u.Commit, found, object),
			u.restore(shown, name, tracked))
	}
	if sum := sha256.Sum256(data); want.SHA256 != "" && hex.EncodeToString(sum[:]) != want.SHA256 {
		return File{}, research.Hinted(fmt.Errorf("%s: %s has the SHA-256 %x, expected %s", shown, name, sum, want.SHA256), u.restore(shown, name, tracked))
	}
	if want.Unwrap != "" {
		if data, err = unwrapped(data); err != nil {
			return File{}, fmt.Errorf("%s: %s: %w", shown, name, err)
		}
	}
	return File{Path: orDefault(want.As, name), Mode: plainMode(info.Mode()), Data: data}, nil
}

// restore is what to type to get a file back as the commit has it.
func (u *Upstream) restore(shown, name string, tracked listing) string {
	if tracked == nil {
		return u.clone("DIR")
	}
	return fmt.Sprintf("git -C %s checkout %s -- %s (a changed line ending is a change, too: core.autocrlf)", shown, u.Commit, name)
}

// gitObject is git's name of a content, in the repository's kind of sum: SHA-1 has 40 digits.
func gitObject(data []byte, digits int) string {
	h := sha256.New()
	if digits == 2*sha1.Size {
		h = sha1.New()
	}
	fmt.Fprintf(h, "blob %d\x00", len(data))
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

// patched applies a patch where its text stands exactly once; found says how often it does.
func (p Patch) patched(data []byte) (result []byte, found int) {
	if found = bytes.Count(data, []byte(p.Find)); found != 1 {
		return data, found
	}
	return bytes.Replace(data, []byte(p.Find), []byte(p.Replace), 1), 1
}
