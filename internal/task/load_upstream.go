package task

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	commitText = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)
	sha256Text = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// upstream reads the pins. All of it can be checked without a checkout.
func (l *loader) upstream() {
	raw := l.raw.Upstream
	if raw == nil {
		return
	}
	u := &Upstream{Repo: raw.Repo, Commit: raw.Commit}
	l.given("upstream.repo", raw.Repo)
	if l.given("upstream.commit", raw.Commit) && !commitText.MatchString(raw.Commit) {
		l.fail("upstream.commit", "write the full hash: `git rev-parse HEAD`", "upstream.commit: %q is not a commit's full hash", raw.Commit)
	}
	for i, f := range raw.Files {
		l.upstreamFile(fmt.Sprintf("upstream.files[%d]", i), f)
		u.Files = append(u.Files, UpstreamFile{Path: f.Path, As: f.As, SHA256: f.SHA256, Unwrap: string(f.Unwrap)})
	}
	for i, p := range raw.Patches {
		at := fmt.Sprintf("upstream.patches[%d]", i)
		l.given(at+".why", p.Why)
		if l.given(at+".file", p.File) {
			l.local(at+".file", p.File)
		}
		if p.Find == "" || p.Find == p.Replace {
			l.fail(at+".find", "write the text that the patch replaces, exactly as upstream has it", "%s.find changes nothing", at)
		}
		u.Patches = append(u.Patches, Patch(p))
	}
	if len(raw.Patches) > 0 && len(raw.Files) == 0 {
		l.fail("upstream.patches", "name the files: `files: [{path: train.py}]`", "upstream.patches: nothing is taken from upstream")
	}
	l.task.Upstream = u
}

func (l *loader) upstreamFile(at string, f upstreamFile) {
	l.glob(at+".path", f.Path)
	if f.As != "" {
		l.local(at+".as", f.As)
	}
	if f.SHA256 != "" && !sha256Text.MatchString(f.SHA256) {
		l.fail(at+".sha256", "write 64 hex digits: `sha256sum FILE`", "%s.sha256: %q is not a SHA-256", at, f.SHA256)
	}
	if hasWildcard(f.Path) && (f.As != "" || f.SHA256 != "" || f.Unwrap != "") {
		l.fail(at, "give that file an entry of its own", "%s: as, sha256 and unwrap are for one file, and %q may be several", at, f.Path)
	}
}

func hasWildcard(glob string) bool { return strings.ContainsAny(glob, `*?[\`) }

// upstreamRecipe puts a recipe together: upstream's files, patched, and what the task adds. Without
// a checkout the recipe stays unknown, and whatever would look at its files is not checked.
func (l *loader) upstreamRecipe() {
	var own []File
	if l.raw.Recipe.Dir != "" {
		dir, ok := l.inside("recipe.dir", l.raw.Recipe.Dir, true)
		if !ok {
			return
		}
		if own, ok = l.recipeDir(dir); !ok {
			return
		}
	}
	if l.fetched == nil {
		return
	}
	files := slices.Clone(l.fetched)
	for i, p := range l.task.Upstream.Patches {
		l.patch(fmt.Sprintf("upstream.patches[%d]", i), p, files)
	}
	for _, f := range own {
		if slices.ContainsFunc(files, func(g File) bool { return g.Path == f.Path }) {
			l.fail("recipe.dir", "rename it", "recipe.dir: %s is a file of upstream, too", f.Path)
		}
	}
	files = append(files, own...)
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	l.files, l.task.taken = files, files
}

// patch changes one file in place, or says loudly that upstream is not what the patch was made for.
func (l *loader) patch(at string, p Patch, files []File) {
	i := slices.IndexFunc(files, func(f File) bool { return f.Path == p.File })
	if i < 0 {
		l.fail(at+".file", "`upstream.files` says what the recipe takes, and under which name", "%s: no file %s is taken from upstream", at, p.File)
		return
	}
	data, found := p.patched(files[i].Data)
	if found != 1 {
		l.fail(at+".find", "upstream differs from what this patch was made for: compare the two, and correct the patch or the pins",
			"%s does not fit: %s has the text %q %d times, and exactly once is expected (%s)", at, p.File, brief(p.Find), found, p.Why)
		return
	}
	files[i].Data = data
}

// brief is the first line of a text, as far as it fits into a message.
func brief(text string) string {
	line, rest, _ := strings.Cut(strings.TrimLeft(text, "\n"), "\n")
	if r := []rune(line); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	if strings.TrimSpace(rest) != "" {
		line += "…"
	}
	return line
}
