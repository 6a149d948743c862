package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"mendel/internal/research"
)

// The texts are what people see first when something is wrong, so they are kept as files to read.
func TestReportsReadWell(t *testing.T) {
	score := 26.8442
	ok := Dryrun{
		Check: func(_ context.Context, _ *Task, c Check) (CheckRun, error) { return CheckRun{OK: true, CPU: 0.04}, nil },
		Baseline: func(context.Context, *Task) (research.Measurement, error) {
			return research.Measurement{
				Outcome: research.Valid, Score: &score, Wall: 0.6, Sandbox: research.SandboxNote{Level: "isolated"},
				Metrics: map[string]research.MetricValue{"rmse": {Value: score, Unit: "cm"}, "artifact_bytes": {Value: 43, Unit: "B"}},
				Margins: []research.Margin{{Bound: research.Bound{Name: "train", Unit: "s"}, Value: 0.2, Slack: 5.3}},
			}, nil
		},
	}
	for name, c := range map[string]struct {
		dry    Dryrun
		change func(t *testing.T, dir string)
	}{
		"valid": {dry: Dryrun{}},
		"tried": {dry: ok},
		"failed": {dry: Dryrun{Check: func(context.Context, *Task, Check) (CheckRun, error) {
			return CheckRun{CPU: 0.04, Output: "  File \"train.py\", line 3\nSyntaxError: invalid syntax\n"}, nil
		}}},
		"unable": {dry: Dryrun{Check: func(context.Context, *Task, Check) (CheckRun, error) {
			return CheckRun{}, research.Hinted(errors.New("no sandbox"), "apt-get install bubblewrap")
		}}},
		"problems": {dry: ok, change: func(t *testing.T, dir string) {
			edit(t, dir, "task.yaml", "\nseeds: 2", "\nsedes: 2")
			edit(t, dir, "task.yaml", "score: {metric: rmse, direction: minimize}", "score: {metric: rmes, direction: minimise}")
			edit(t, dir, "task.yaml", "    budget: 5s ", "    budget: soon ")
			edit(t, dir, "task.yaml", "roles/fit.md", "roles/fitt.md")
			edit(t, dir, "knobs.yaml", "^EPOCHS", "^EPOCH")
			edit(t, dir, "recipe/cache.csv", "", readText(t, dir+"/data/heldout/tide.csv"))
		}},
		"warnings": {change: func(t *testing.T, dir string) { remove(t, dir, "data/certify") }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := exampleTask(t)
			if c.change != nil {
				c.change(t, dir)
			}
			r := Inspect(context.Background(), dir, nil, c.dry)
			r.Dir = "tide-forecast"
			if r.Hash != "" {
				r.Hash = "0123456789abcdef"
			}
			var plain, coloured bytes.Buffer
			if err := r.WriteText(&plain, false); err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/report/"+name+".txt", plain.Bytes())
			if err := r.WriteText(&coloured, true); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(coloured.String(), "\x1b[") || strings.Contains(plain.String(), "\x1b[") {
				t.Error("colour is not as asked for")
			}
			var back Report
			if data, err := json.Marshal(r); err != nil || json.Unmarshal(data, &back) != nil || back.OK != r.OK || len(back.Problems) != len(r.Problems) {
				t.Errorf("the report does not survive JSON: %v", err)
			}
		})
	}
}

func TestReportOfNoTask(t *testing.T) {
	r := Inspect(context.Background(), t.TempDir(), nil, Dryrun{})
	if r.OK || r.Error == "" || r.Hint == "" {
		t.Errorf("report %+v", r)
	}
}
