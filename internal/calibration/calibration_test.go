package calibration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mendel/internal/research"
)

func subject() Subject {
	return Subject{
		Task: research.TaskIdentity{Name: "tide", Hash: "t1", Evaluator: "e1"}, Recipe: "r1",
		Machine: research.Machine{CPU: "A", Cores: 2, Kernel: "6.1", Slots: 1},
	}
}

// keep writes a record as `mendel calibrate` does.
func keep(t *testing.T, root, name string, s Subject, day int, scores ...float64) {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := Record{Task: s.Task, Recipe: s.Recipe, Machine: s.Machine, Calibration: research.Calibration{
		Run: name, At: time.Date(2026, 5, day, 0, 0, 0, 0, time.UTC), Noise: research.Noise{Kind: research.Timing, Scores: scores},
	}}
	if err := r.Finish().Write(dir); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	if found, why := Find(filepath.Join(root, "missing"), subject()); found != nil || why != "" {
		t.Errorf("in no directory: %v, %q", found, why)
	}
	s := subject()
	keep(t, root, "old", s, 1, 1, 2, 3)
	keep(t, root, "new", s, 2, 1, 2, 3, 4, 5, 6)
	other := subject()
	other.Machine.Kernel = "6.2"
	keep(t, root, "elsewhere", other, 3, 9, 9)
	keep(t, root, "damaged", s, 4, 8, 8)
	if err := os.WriteFile(filepath.Join(root, "damaged", FileName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	found, _ := Find(root, s)
	if found == nil || found.Run != "new" || found.Dir != filepath.Join(root, "new") || found.Noise.N != 6 || found.ScoreLag1 == nil {
		t.Fatalf("found %+v", found)
	}

	for want, change := range map[string]func(*Subject){
		"the task changed":       func(s *Subject) { s.Task.Hash = "t2" },
		"the evaluator changed":  func(s *Subject) { s.Task.Hash, s.Task.Evaluator = "t2", "e2" },
		"another starting":       func(s *Subject) { s.Recipe = "r2" },
		"cores 2, now 4":         func(s *Subject) { s.Machine.Cores = 4 },
		"could not be found out": func(s *Subject) { s.Machine.CPU = "" },
	} {
		s := subject()
		change(&s)
		if found, why := Find(root, s); found != nil || !strings.Contains(why, want) {
			t.Errorf("found %v, because %q; want none, because %q", found, why, want)
		}
	}
}

func TestWhatFollowsFromTheScoresIsNotBelieved(t *testing.T) {
	root := t.TempDir()
	keep(t, root, "a", subject(), 1, 1, 2, 3) // sd 1
	path := filepath.Join(root, "a", FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	forged := strings.Replace(string(text), `"sd": 1`, `"sd": 0.001`, 1)
	if forged == string(text) {
		t.Fatalf("no sd to forge in %s", text)
	}
	if err := os.WriteFile(path, []byte(forged), 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := Read(filepath.Dir(path)); err != nil || r.Noise.SD != 1 {
		t.Errorf("sd %v, %v", r.Noise.SD, err)
	}
}

func TestHardware(t *testing.T) {
	proc := t.TempDir()
	for name, text := range map[string]string{
		"cpuinfo":                            "processor\t: 0\nmodel\t\t: 2\nmodel name\t: Quick 9000\nstepping\t: 1\n\nprocessor\t: 1\nmodel name\t: Other\n",
		"meminfo":                            "MemTotal:       24684092 kB\nMemFree:  1 kB\n",
		"sys/kernel/osrelease":               "6.1.0-x\n",
		"driver/nvidia/gpus/0/information":   "Model: \t\t NVIDIA H100\nIRQ: 3\n",
		"driver/nvidia/gpus/0:1/information": "Model: \t\t NVIDIA H100\n",
	} {
		path := filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := research.Machine{CPU: "Quick 9000, model 2, stepping 1", Cores: 2, Memory: 24, GPUs: []string{"NVIDIA H100"}, Kernel: "6.1.0-x"}
	if d := want.Differences(hardware(proc, 2, 1)); len(d) > 0 {
		t.Errorf("one of two GPUs: %q", d)
	}
	want.GPUs = nil
	if d := want.Differences(hardware(proc, 2, 0)); len(d) > 0 {
		t.Errorf("no GPU: %q", d)
	}
	if m := hardware(filepath.Join(proc, "missing"), 1, 1); m.CPU != "" || m.GPUs[0] != "unknown model" {
		t.Errorf("nothing to read: %+v", m)
	}
}
