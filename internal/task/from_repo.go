package task

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"mendel/internal/research"
)

// A checkout is a researcher's git repository, or a directory in one.
type checkout struct {
	dir       string // absolute
	commit    string // "" before the first commit
	files     []File // tracked, as they are in the working tree
	notes     []string
	untracked []string // files and directories (with a final /) that git does not track
}

func openCheckout(ctx context.Context, dir string) (*checkout, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find repository: %w", err)
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return nil, fmt.Errorf("find repository: %w", err)
	}
	c := &checkout{dir: abs}
	if _, err := exec.LookPath("git"); err != nil {
		return nil, research.Hinted(errors.New("git is not installed, and only it knows which files belong to the repository"), "apt-get install git")
	}
	if out, err := c.git(ctx, "rev-parse", "--is-inside-work-tree"); err != nil || strings.TrimSpace(out) != "true" {
		return nil, research.Hinted(fmt.Errorf("%s: not a git repository", dir),
			fmt.Sprintf("only tracked files are copied, so that nothing secret or large comes along: `cd %s && git init && git add …`", dir))
	}
	if out, err := c.git(ctx, "rev-parse", "--verify", "--quiet", "HEAD"); err == nil {
		c.commit = strings.TrimSpace(out)
	}
	if err := c.readTracked(ctx); err != nil {
		return nil, err
	}
	return c, c.listUntracked(ctx)
}

func (c *checkout) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", c.dir}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// readTracked reads every tracked regular file, and notes what it leaves out.
func (c *checkout) readTracked(ctx context.Context) error {
	listing, err := c.git(ctx, "ls-files", "-z", "--stage")
	if err != nil {
		return err
	}
	var total int64
	seen := map[string]bool{} // a file in conflict is listed once for each side
	for entry := range strings.SplitSeq(listing, "\x00") {
		meta, name, ok := strings.Cut(entry, "\t")
		if !ok || seen[name] {
			continue
		}
		seen[name] = true
		f, err := c.tracked(strings.Fields(meta)[0], name)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		if total += int64(len(f.Data)); total > maxRecipe {
			return research.Hinted(fmt.Errorf("%s: its tracked files have more than %d bytes", c.dir, maxRecipe),
				"name the part of the repository that holds the recipe: --from REPO/PART")
		}
		c.files = append(c.files, *f)
	}
	if len(c.files) == 0 {
		return research.Hinted(fmt.Errorf("%s: git tracks no file there", c.dir), "`git add` what belongs to the recipe")
	}
	return nil
}

// tracked reads one entry of git's index; nil for one that is left out.
func (c *checkout) tracked(mode, name string) (*File, error) {
	leave := func(format string, args ...any) (*File, error) {
		c.notes = append(c.notes, fmt.Sprintf(format, args...))
		return nil, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if litter(part) {
			return nil, nil
		}
	}
	switch mode {
	case "160000":
		return leave("Left out: %s is a submodule. If the recipe needs it, install it into the environment, or commit its files.", name)
	case "120000":
		return leave("Left out: %s is a symbolic link. If the recipe needs it, commit the file itself.", name)
	}
	file := filepath.Join(c.dir, filepath.FromSlash(name))
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return leave("Left out: %s is tracked by git but deleted in the working tree.", name)
	case err != nil:
		return nil, fmt.Errorf("read repository: %w", err)
	case !info.Mode().IsRegular():
		return leave("Left out: %s is no regular file any more.", name)
	case info.Size() > maxRecipeFile:
		return leave("Left out: %s has %d bytes. If the recipe reads it, add it as a mount of the site file.", name, info.Size())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read repository: %w", err)
	}
	if bytes.HasPrefix(data, []byte("version https://git-lfs.github.com/spec/")) {
		return leave("Left out: %s is only a pointer of Git LFS. `git lfs pull` fetches the file; then start again, or add it as a mount of the site file.", name)
	}
	return &File{Path: name, Mode: plainMode(info.Mode()), Data: data}, nil
}

// listUntracked lists what lies in the checkout without belonging to it, as far as a recipe might
// read it: data sets, most of all.
func (c *checkout) listUntracked(ctx context.Context) error {
	listing, err := c.git(ctx, "ls-files", "-z", "--others", "--directory")
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(listing, "\x00") {
		base := path.Base(name)
		if name == "" || litter(base) || strings.HasSuffix(base, ".egg-info") || base == "node_modules" || base == ".env" {
			continue
		}
		if fileExists(c.dir, path.Join(name, "pyvenv.cfg")) {
			continue
		}
		c.untracked = append(c.untracked, name)
	}
	return nil
}

// modified says whether tracked files differ from the commit.
func (c *checkout) modified(ctx context.Context) bool {
	out, err := c.git(ctx, "status", "--porcelain", "--untracked-files=no", ".")
	return err == nil && strings.TrimSpace(out) != ""
}
