package task

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"mendel/internal/research"
)

// Options say how a researcher's own repository becomes a task.
type Options struct {
	Dir       string             // of the new task; gives it its name
	Repo      string             // git checkout, or a directory in one
	Editable  []string           // globs, relative to Repo; each becomes a role's share
	Run       string             // command line that trains and prints the score
	ScoreLog  string             // regular expression with one group, the score in the output
	Direction research.Direction // minimize unless given
	Unit      string
	Python    string              // interpreter or environment; found unless given
	Budget    time.Duration       // of one training; an hour unless given
	GPUs      int                 // for one trial
	Getenv    func(string) string // os.Getenv
}

//go:embed fromrepo
var fromRepo embed.FS

// NewFrom writes a task whose recipe is a copy of the files that git tracks in a repository, and
// beside it a site file that says which interpreter runs it. The score is what the recipe prints,
// so it is self-reported, and the task says so.
func NewFrom(ctx context.Context, o Options) (Created, error) {
	name, err := nameFrom(o.Dir)
	if err != nil {
		return Created{}, err
	}
	checkout, err := openCheckout(ctx, o.Repo)
	if err != nil {
		return Created{}, err
	}
	plan, err := o.plan(checkout)
	if err != nil {
		return Created{}, err
	}
	plan.Name, plan.Modified = name, checkout.modified(ctx)
	plan.guessKnobs(checkout.files)
	site := SiteBeside(o.Dir)
	if _, err := os.Lstat(site); err == nil {
		return Created{}, research.Hinted(fmt.Errorf("%s: there is already a site file for that task", site), "choose another name, or remove it first")
	}
	if err := create(o.Dir, func(draft string) error { return plan.write(draft, checkout.files) }); err != nil {
		return Created{}, err
	}
	text, err := plan.render("site.yaml")
	if err == nil {
		err = os.WriteFile(site, text, 0o644)
	}
	if err != nil {
		return Created{}, fmt.Errorf("write site file: %w", err)
	}
	return Created{Dir: o.Dir, Site: site, Notes: append(plan.notes(), checkout.notes...)}, nil
}

// A fromPlan is everything that the templates of a task from a repository print.
type fromPlan struct {
	Name, Repo, Commit string
	Modified           bool
	Editable           []string
	Language           string
	Argv               []string
	Env                map[string]string
	ScoreLog           string
	Direction          research.Direction
	GuessedDirection   bool
	Unit               string
	Budget             time.Duration
	GPUs               int
	CodeCap            int64 // bytes
	Packages           []string
	Programs           []string
	Roles              []fromRole
	Knobs              []research.Knob

	Python, PythonWhy string
	Remapped          []string // editable installs in the repository
	Foreign           []string // editable installs elsewhere
	Untracked         []string // absolute
}

type fromRole struct{ ID, Title, Glob string }

func (o Options) plan(c *checkout) (*fromPlan, error) {
	p := &fromPlan{
		Repo: c.dir, Commit: c.commit, Editable: o.Editable, ScoreLog: o.ScoreLog, Direction: o.Direction, Unit: o.Unit,
		Budget: o.Budget, GPUs: o.GPUs, Language: "python",
		Programs: []string{"bash", "cat", "grep", "head", "ls", "sed", "sort", "tail", "wc"},
	}
	switch p.Direction {
	case research.Minimize, research.Maximize:
	case "":
		p.Direction, p.GuessedDirection = research.Minimize, true
	default:
		return nil, research.Hinted(fmt.Errorf("%q is not a direction of a score", p.Direction), "write minimize or maximize")
	}
	p.Budget = orDefault(p.Budget, time.Hour)
	if err := p.globs(c); err != nil {
		return nil, err
	}
	if err := p.scorePattern(); err != nil {
		return nil, err
	}
	if err := p.command(o.Run, c); err != nil {
		return nil, err
	}
	p.environment(o, c)
	for _, name := range c.untracked {
		p.Untracked = append(p.Untracked, filepath.Join(c.dir, filepath.FromSlash(name)))
	}
	return p, nil
}

// globs checks what is editable, makes a role of each glob, and caps the code generously.
func (p *fromPlan) globs(c *checkout) error {
	if len(p.Editable) == 0 {
		return research.Hinted(fmt.Errorf("nothing is editable"), "name the files that agents may change: --editable train.py --editable 'model/*.py'")
	}
	names := make([]string, len(c.files))
	for i, f := range c.files {
		names[i] = f.Path
	}
	var size int64
	python := false
	counted := map[string]bool{}
	for _, glob := range p.Editable {
		found := false
		for _, f := range c.files {
			if !matchGlob(glob, f.Path) {
				continue
			}
			found = true
			python = python || path.Ext(f.Path) == ".py"
			if !counted[f.Path] {
				counted[f.Path] = true
				size += int64(len(f.Data))
			}
		}
		if !found {
			return research.Hinted(fmt.Errorf("--editable %s matches none of the %d files that git tracks in %s", glob, len(names), c.dir), known(glob, names))
		}
		p.addRole(glob)
	}
	if !python {
		p.Language = "other"
	}
	p.CodeCap = max(100_000, (4*size/10_000+1)*10_000)
	return nil
}

// addRole makes one role of one glob: train.py gives train, model/*.py gives model.
func (p *fromPlan) addRole(glob string) {
	words := strings.FieldsFunc(strings.TrimSuffix(glob, path.Ext(glob)), func(r rune) bool { return r == '/' || r == '*' || r == '.' || r == '?' })
	id := "recipe"
	if len(words) > 0 {
		id = strings.Trim(strings.ReplaceAll(suggestName(words[len(words)-1]), "my-task", "recipe"), "-")
	}
	id = id[:min(len(id), 24)]
	taken := func(id string) bool {
		return slices.Contains(reservedRoles, id) || slices.ContainsFunc(p.Roles, func(r fromRole) bool { return r.ID == id })
	}
	for base, n := id, 2; taken(id); n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	p.Roles = append(p.Roles, fromRole{ID: id, Title: strings.ToUpper(id[:1]) + id[1:], Glob: glob})
}

func (p *fromPlan) scorePattern() error {
	compiled, err := regexp.Compile("(?m)" + p.ScoreLog)
	switch {
	case p.ScoreLog == "":
		return research.Hinted(fmt.Errorf("it is not said how the score is found"), `give a regular expression with one group: --score-log 'val_loss: ([0-9.]+)'`)
	case err != nil:
		return fmt.Errorf("--score-log: %w", err)
	case compiled.NumSubexp() != 1:
		return research.Hinted(fmt.Errorf("--score-log %s: %d groups, and one is wanted: the score", p.ScoreLog, compiled.NumSubexp()), "put ( ) around the number alone; (?: ) groups without counting")
	}
	return nil
}

var assignment = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)

// command splits the command line; variables in front of it belong to the phase's environment, and
// whichever Python it names becomes the one of the site.
func (p *fromPlan) command(line string, c *checkout) error {
	words, err := splitWords(line)
	if err != nil {
		return fmt.Errorf("--run: %w", err)
	}
	p.Env = map[string]string{}
	for len(words) > 0 {
		m := assignment.FindStringSubmatch(words[0])
		if m == nil {
			break
		}
		p.Env[m[1]] = m[2]
		words = words[1:]
	}
	if len(words) > 2 && slices.Contains([]string{"uv", "poetry", "pipenv", "pdm"}, words[0]) && words[1] == "run" {
		words = words[2:]
	}
	if len(words) == 0 {
		return fmt.Errorf("--run: the command is empty")
	}
	program := path.Base(words[0])
	switch {
	case pythonName.MatchString(program):
		words[0] = "python3"
	case strings.HasSuffix(words[0], ".py") && slices.ContainsFunc(c.files, func(f File) bool { return f.Path == path.Clean(words[0]) }):
		words = append([]string{"python3"}, words...)
	case program == "torchrun":
		words = append([]string{"python3", "-m", "torch.distributed.run"}, words[1:]...)
	case strings.Contains(words[0], "/") && !path.IsAbs(words[0]):
		p.Programs = append(p.Programs, "env", "sh") // a script of the repository
	default:
		words[0] = program
		if !slices.Contains(p.Programs, program) {
			p.Programs = append(p.Programs, program)
		}
	}
	p.Argv = words
	return nil
}

var pythonName = regexp.MustCompile(`^python([0-9.]+)?$`)

func (p *fromPlan) environment(o Options, c *checkout) {
	p.Python, p.PythonWhy = o.Python, "you named it"
	if p.Python == "" {
		p.Python, p.PythonWhy = findPython(c.dir, o.Getenv)
	} else if abs, err := filepath.Abs(p.Python); err == nil {
		p.Python = abs
	}
	if !isVenv(p.Python) { // a virtual environment is visible whole
		p.Packages = importedPackages(c.files)
	}
	if p.Python == "" {
		return
	}
	for _, dir := range editableInstalls(p.Python) {
		if within(dir, c.dir) {
			p.Remapped = append(p.Remapped, dir)
		} else {
			p.Foreign = append(p.Foreign, dir)
		}
	}
}

// write fills a draft of the task.
func (p *fromPlan) write(draft string, files []File) error {
	for _, f := range files {
		if err := writeFile(filepath.Join(draft, "recipe", filepath.FromSlash(f.Path)), f.Data, f.Mode); err != nil {
			return err
		}
	}
	names := []string{fileName, "README.md", "knowledge/PROBLEM.md"}
	if len(p.Knobs) > 0 {
		names = append(names, "knobs.yaml")
	}
	for _, name := range names {
		text, err := p.render(path.Base(name))
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(draft, filepath.FromSlash(name)), text, 0o644); err != nil {
			return err
		}
	}
	for _, r := range p.Roles {
		text := fmt.Sprintf("You own `%s`: everything that it decides. Read the other files to understand it.\n\nWhat lies outside `%s` is not yours to change. Keep printing the score as the recipe does now.\n", r.Glob, r.Glob)
		if err := writeFile(filepath.Join(draft, "roles", r.ID+".md"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (p *fromPlan) render(name string) ([]byte, error) {
	t, err := template.New(name).Funcs(template.FuncMap{"q": quoteYAML, "list": listYAML, "num": func(v *float64) string { return strconv.FormatFloat(*v, 'g', -1, 64) }}).ParseFS(fromRepo, "fromrepo/"+name)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	if err := t.Execute(&b, p); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// quoteYAML writes any text as a YAML scalar on one line.
func quoteYAML(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return fmt.Sprintf("%q", s)
}

func listYAML(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = quoteYAML(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
