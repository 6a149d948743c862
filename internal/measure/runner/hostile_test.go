package runner_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/runner"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

var update = flag.Bool("update", false, "write docs/threat-table.md")

// Who holds a threat. asRoot is a row that below confined holds only where the runner is root, so
// that recipes run as another user than everything that they could reach.
var (
	everywhere = claim{sandbox.Isolated: true, sandbox.Confined: true, sandbox.Limited: true}
	confined   = claim{sandbox.Isolated: true, sandbox.Confined: true}
	asRoot     = claim{sandbox.Isolated: true, sandbox.Confined: true, sandbox.Limited: os.Getuid() == 0, rootOnly: true}
)

type claim map[sandbox.Level]bool

// rootOnly marks a claim for Limited that depends on who runs the runner.
const rootOnly sandbox.Level = "root only"

// A threat is one row of the threat table that a runner stops, with the recipes that try it.
type threat struct {
	what, stops string
	recipes     []hostile
}

// A hostile recipe stands in testdata/hostile/NAME.
type hostile struct {
	name    string
	holds   claim
	outcome research.Outcome
	// evidence is more that must be true where it holds; it returns what is wrong.
	evidence func(e evidence) string
	adjust   func(tr *trial)
}

// evidence is what a hostile recipe left behind.
type evidence struct {
	m       research.Measurement
	bundle  bundle.Bundle
	mark    string // of this trial alone
	victim  *exec.Cmd
	visible string // all that a specialist could come to see of it
	t       *testing.T
}

// honestScore says that a recipe which answers 0 got the error that it deserves.
func honestScore(e evidence) string {
	if e.m.Score == nil || *e.m.Score != 1234.5 {
		return fmt.Sprintf("score %v, want 1234.5", e.m.Score)
	}
	return ""
}

func noQuestions(e evidence) string {
	if strings.Contains(e.visible, "2469") {
		return "a question reaches specialists: " + e.visible
	}
	if p := phaseRun(e.m, "evaluate"); !p.OperatorOnly || p.ExitCode > 1 && p.Signal == "" {
		return fmt.Sprintf("evaluate's run is told too openly: %+v", p)
	}
	return ""
}

func oneSecondCounts(e evidence) string {
	if w := phaseRun(e.m, "evaluate").Wall; w < 0.5 {
		return fmt.Sprintf("evaluate took %v s by our clock", w)
	}
	return ""
}

func ended(phase, word string) func(evidence) string {
	return func(e evidence) string {
		if got := phaseRun(e.m, phase).Ended; got != word {
			return fmt.Sprintf("%s ended with %q, want %q", phase, got, word)
		}
		return ""
	}
}

func nothingLeft(e evidence) string {
	cmdlines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range cmdlines {
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte(e.mark)) {
			return "still running: " + file
		}
	}
	if e.m.Score == nil || *e.m.Score == 0 {
		return fmt.Sprintf("score %v: what the background process did counted", e.m.Score)
	}
	return ""
}

func threats() []threat {
	const valid, crash = research.Valid, research.Crash
	return []threat{
		{"print or write a forged score", "only evaluator and harness write measurements", []hostile{
			{name: "forge_print", holds: everywhere, outcome: research.Disqualified, evidence: honestScore},
			{name: "forge_file", holds: asRoot, outcome: research.Disqualified, evidence: honestScore},
		}},
		{"read the held-out data or its labels", "an allow-list of mounts", []hostile{
			{name: "read_heldout_path", holds: confined, outcome: valid},
			{name: "read_heldout_proc", holds: confined, outcome: valid},
			{name: "read_heldout_symlink", holds: everywhere, outcome: crash},
			{name: "read_heldout_hardlink", holds: everywhere, outcome: ""},
			{name: "sklearn_digits", holds: confined, outcome: valid},
			{name: "usr_share_copies", holds: confined, outcome: valid},
		}},
		{"change the evaluator, the helper scripts, the baseline", "read-only mounts, hashed before and after", []hostile{
			{name: "overwrite_evaluator", holds: asRoot, outcome: valid},
			{name: "sitecustomize", holds: asRoot, outcome: valid},
			{name: "poisoned_import", holds: everywhere, outcome: valid},
		}},
		{"cheat the clock", "the runner's monotonic clock around the whole process tree", []hostile{
			{name: "set_time", holds: everywhere, outcome: valid, evidence: func(e evidence) string {
				if w := phaseRun(e.m, "train").Wall; w < 0.5 {
					return fmt.Sprintf("train took %v s by our clock", w)
				}
				return ""
			}},
			{name: "background_process", holds: everywhere, outcome: research.Disqualified, evidence: nothingLeft},
		}},
		{"carry trained weights from trial to trial inside the code", "2 KB of output at most reach proposers; the code has its own cap", []hostile{
			{name: "print_weights", holds: everywhere, outcome: crash, evidence: func(e evidence) string {
				shown := len(e.m.Crash.Exception) + len(e.m.Crash.Frame) + len(e.m.Crash.Code)
				for _, p := range e.m.Phases {
					shown += len(p.Tail)
				}
				if shown > 2048 {
					return fmt.Sprintf("%d bytes of output can be seen", shown)
				}
				return ""
			}},
			{name: "paste_weights", holds: everywhere, outcome: research.SizeBlocked, adjust: func(tr *trial) {
				most := 2000.0
				tr.plan.Bounds = append(tr.plan.Bounds, research.Bound{Name: "code_bytes", Metric: "code_bytes", Unit: "B", Max: &most, Outcome: research.SizeBlocked})
			}},
		}},
		{"smuggle work between phases", "a fresh sandbox per phase; only counted artifacts pass", []hostile{
			{name: "preflight_precompute", holds: confined, outcome: valid},
			{name: "hide_files", holds: confined, outcome: valid},
			{name: "train_in_evaluate", holds: everywhere, outcome: research.EvalBudgetOverrun, evidence: oneSecondCounts, adjust: func(tr *trial) {
				tr.budget("evaluate", 500*time.Millisecond, 20*time.Second)
			}},
		}},
		{"look ahead in the stream", "lockstep: nothing is sent before the answer is in", []hostile{
			{name: "lookahead", holds: everywhere, outcome: crash, evidence: ended("evaluate", "protocol"), adjust: func(tr *trial) {
				tr.evaluator["score.py"] = strings.Replace(goodEvaluator, "s.close()", strings.Repeat(
					`s.call("predict", ("f8", [1], struct.pack("<d", 1)), expect=[("f8", (1,))], deadline=5)`+"\n", 3)+"s.close()", 1)
			}},
		}},
		{"leak questions through logs", "what evaluate printed never reaches a prompt", []hostile{
			{name: "print_heldout", holds: everywhere, outcome: valid, evidence: noQuestions},
			{name: "raise_heldout", holds: everywhere, outcome: crash, evidence: noQuestions},
			{name: "exit_heldout", holds: everywhere, outcome: crash, evidence: noQuestions},
			{name: "smuggle_header", holds: everywhere, outcome: crash, evidence: noQuestions},
		}},
		{"kill the evaluator for a free retry", "the runner checks every frame; death after the first word is a crash", []hostile{
			{name: "huge_frame", holds: everywhere, outcome: crash, evidence: ended("evaluate", "protocol")},
			{name: "nan_reply", holds: everywhere, outcome: crash, evidence: ended("evaluate", "protocol")},
			{name: "truncated_frame", holds: everywhere, outcome: crash, evidence: ended("evaluate", "protocol")},
			{name: "never_reply", holds: everywhere, outcome: research.EvalBudgetOverrun, evidence: ended("evaluate", "timeout"), adjust: func(tr *trial) {
				tr.evaluator["score.py"] = strings.Replace(goodEvaluator, "deadline=5", "deadline=0.3", 1)
			}},
			{name: "segfault", holds: everywhere, outcome: crash, evidence: ended("evaluate", "killed")},
			{name: "segfault_evaluator", holds: everywhere, outcome: crash, adjust: func(tr *trial) {
				tr.evaluator["score.py"] = strings.Replace(goodEvaluator, "s.close()", "os.kill(os.getpid(), 11)", 1)
			}},
		}},
		{"reach the network or the API keys", "no network namespace; a clean environment", []hostile{
			{name: "connect_tcp", holds: confined, outcome: valid},
			{name: "unix_socket", holds: confined, outcome: valid},
			{name: "environ_keys", holds: asRoot, outcome: valid},
			{name: "netrc", holds: asRoot, outcome: valid},
		}},
		{"kill or trace the supervisor or a sibling", "a pid namespace, no new privileges", []hostile{
			{name: "kill_all", holds: confined, outcome: "", evidence: victimLives},
			{name: "ptrace", holds: asRoot, outcome: valid, evidence: victimLives},
		}},
		{"fork, eat memory, fill the disk, flood the log, never end", "limits on processes, memory, disk, output, time; the whole tree is killed", []hostile{
			{name: "fork_bomb", holds: everywhere, outcome: crash},
			{name: "memory_hog", holds: everywhere, outcome: crash},
			{name: "disk_fill", holds: everywhere, outcome: crash},
			{name: "log_flood", holds: everywhere, outcome: crash, evidence: ended("train", "output")},
			{name: "ignore_sigterm", holds: everywhere, outcome: research.TrainBudgetOverrun, evidence: ended("train", "timeout"), adjust: func(tr *trial) {
				tr.budget("train", 300*time.Millisecond, 500*time.Millisecond)
			}},
		}},
		{"compute for free in checks or bash", "no data mounted, processor seconds capped and counted", []hostile{
			{name: "train_in_check", holds: confined},
		}},
	}
}

func victimLives(e evidence) string {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.victim.Process.Pid))
	if err != nil || bytes.Contains(state, []byte(") Z ")) {
		return "the process outside is dead"
	}
	return ""
}

// TestHostile runs each recipe at each level that claims to hold it. The recipes print BREACH
// where their attack worked.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: what counts here happens in other processes")
	}
	for _, th := range threats() {
		for _, h := range th.recipes {
			for _, level := range []sandbox.Level{sandbox.Isolated, sandbox.Confined, sandbox.Limited} {
				t.Run(h.name+"/"+string(level), func(t *testing.T) {
					switch {
					case !h.holds[level]:
						t.Skipf("%s does not hold this", level)
					case probed().Limit(level).Level != level:
						t.Skipf("this host offers at most %s", probed().Level)
					}
					t.Parallel()
					if got := h.run(t, level); got != "" {
						t.Error(got)
					}
				})
			}
		}
	}
}

// run returns what broke through, or "".
func (h hostile) run(t *testing.T, level sandbox.Level) string {
	tr := newTrial()
	if h.adjust != nil {
		h.adjust(tr)
	}
	e := evidence{t: t, mark: "mark-" + strconv.FormatInt(time.Now().UnixNano(), 36), victim: victim(t)}
	words := e.words(t)
	tr.recipe = map[string]string{}
	for _, dir := range []string{"common", h.name} {
		files, err := filepath.Glob(filepath.Join("testdata/hostile", dir, "*.py"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no recipe in %s: %v", dir, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tr.recipe[filepath.Base(file)] = string(text)
		}
	}
	tr.fill = words
	if h.name == "train_in_check" {
		return e.inCheck(tr, level)
	}
	e.bundle = tr.bundle(t)
	runApart(t, e.bundle, level)
	e.m = resultOf(t, e.bundle)
	e.visible = visible(t, e.m)
	var wrong []string
	for _, phase := range []string{"preflight", "train", "evaluate"} {
		for line := range strings.Lines(logOf(t, e.bundle, e.m, phase)) {
			if strings.Contains(line, "BREACH") {
				wrong = append(wrong, phase+": "+line)
			}
		}
	}
	if e.m.Outcome == research.Aborted || h.outcome != "" && e.m.Outcome != h.outcome {
		wrong = append(wrong, fmt.Sprintf("outcome %s (%s), want %s\n%s", e.m.Outcome, e.m.Reason, h.outcome,
			logOf(t, e.bundle, e.m, e.m.Phases[len(e.m.Phases)-1].Phase)))
	} else if h.evidence != nil {
		if more := h.evidence(e); more != "" {
			wrong = append(wrong, more)
		}
	}
	return strings.Join(wrong, "\n")
}

// inCheck tries to train in a free check.
func (e evidence) inCheck(tr *trial, level sandbox.Level) string {
	tr.plan.Checks = []bundle.Check{{Name: "syntax_check", Run: []string{"python3", "train.py"}, Timeout: research.Duration(700 * time.Millisecond)}}
	b := tr.bundle(e.t)
	spec, err := b.Spec()
	if err != nil {
		e.t.Fatal(err)
	}
	r, err := runner.Check(e.t.Context(), probed().Limit(level), spec, "syntax_check", b.Tree(), b.Evaluator())
	switch {
	case err != nil:
		e.t.Fatal(err)
	case strings.Contains(r.Output, "BREACH"):
		return r.Output
	case r.OK || !r.TimedOut || r.CPU == 0:
		return fmt.Sprintf("%+v", r)
	case len(r.Output) > 16<<10 || !strings.Contains(r.Output, "left out"):
		return fmt.Sprintf("%d bytes of output", len(r.Output))
	}
	return ""
}

// visible is everything of a measurement that specialists can come to see.
func visible(t *testing.T, m research.Measurement) string {
	t.Helper()
	m.Metrics, m.Margins, m.Score = nil, nil, nil // of the evaluator and the harness
	phases := slices.Clone(m.Phases)
	for i := range phases {
		phases[i].Log = "" // the operator's
		phases[i].Wall, phases[i].CPU, phases[i].MaxRSS = 0, 0, 0
	}
	m.Phases, m.Wall, m.Harness = phases, 0, 0
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func phaseRun(m research.Measurement, phase string) research.PhaseRun {
	for _, p := range m.Phases {
		if p.Phase == phase {
			return p
		}
	}
	return research.PhaseRun{}
}

// runApart runs the runner as a process of its own, as an executor does: with secrets in its
// environment, and with mounts of its own where the host can.
func runApart(t *testing.T, b bundle.Bundle, level sandbox.Level) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, runnerVerb, b.Dir, string(level))
	cmd.Env = append(os.Environ(), "ANTHROPIC_API_KEY=sk-hostile-test")
	if probed().PrivateMounts {
		sandbox.PrivateMounts(cmd)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("runner: %v\n%s", err, out)
	}
}

// victim is a process outside, such as a supervisor or a sibling.
func victim(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// words are what stands for @NAME@ in a recipe: what an attacker could have found out.
func (e evidence) words(t *testing.T) map[string]string {
	t.Helper()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".netrc"), []byte("machine example.com password secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	dir, err := os.MkdirTemp("", "mendel-hostile-") // short: the name of a socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	for _, name := range []string{socket, "@" + e.mark} {
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	pidNamespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(dir, 0o755)
	_ = os.Chmod(socket, 0o777)
	return map[string]string{
		"MARK": e.mark, "PIDNS": pidNamespace, "HOME": home, "SOCKET": socket, "VICTIM": strconv.Itoa(e.victim.Process.Pid),
		"PORT": strconv.Itoa(tcp.Addr().(*net.TCPAddr).Port), "PADDING": strings.Repeat("w", 4000),
	}
}

// TestThreatTable holds docs/threat-table.md to what TestHostile proves.
func TestThreatTable(t *testing.T) {
	var b strings.Builder
	b.WriteString(threatTableHead)
	levels := []sandbox.Level{sandbox.Isolated, sandbox.Confined, sandbox.Limited}
	seen := map[string]bool{"common": true}
	for _, th := range threats() {
		for i, h := range th.recipes {
			seen[h.name] = true
			what, stops := "", ""
			if i == 0 {
				what, stops = th.what, th.stops
			}
			fmt.Fprintf(&b, "| %s | %s | `%s` |", what, stops, h.name)
			for _, level := range levels {
				word := "no"
				switch {
				case h.holds[rootOnly] && level == sandbox.Limited:
					word = "as root"
				case h.holds[level]:
					word = "yes"
				}
				fmt.Fprintf(&b, " %s |", word)
			}
			b.WriteString("\n")
		}
	}
	entries, err := os.ReadDir("testdata/hostile")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !seen[e.Name()] {
			t.Errorf("testdata/hostile/%s stands in no row", e.Name())
		}
	}
	file := filepath.Join("..", "..", "..", "docs", "threat-table.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != b.String() {
		t.Errorf("docs/threat-table.md is out of date: run go test ./internal/measure/runner -run TestThreatTable -update")
	}
}

const threatTableHead = `# What a recipe may try, and which sandbox level holds it

Recipes are untrusted: they are written by whoever is rewarded for the score. Each row is a real
hostile recipe in ` + "`internal/measure/runner/testdata/hostile/NAME/`" + `, which ` + "`go test -run TestHostile`" + `
runs at every level that claims to hold it. *As root* means that the level holds it where mendel
runs as root, since recipes then run as another user. Rows that say *no* are why a task names the
level that it requires. Submitting the same recipe again is stopped before anything runs: the loop
knows its token hash and refuses it free (` + "`TestDuplicatesAreRefusedFree`" + `). (This file is written
by the test ` + "`TestThreatTable`" + `.)

| what it may try | what stops it | recipe | isolated | confined | limited |
|---|---|---|---|---|---|
`
