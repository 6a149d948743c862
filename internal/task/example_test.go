package task

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A conversation runs the example's evaluator and subject against each other. In place of the
// runner, which polices, it passes the frames on.
func conversation(t *testing.T, evaluator, subject *exec.Cmd) {
	t.Helper()
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	start := func(cmd *exec.Cmd) (hears io.WriteCloser, says io.ReadCloser) {
		inRead, inWrite := pipe()
		outRead, outWrite := pipe()
		cmd.ExtraFiles = []*os.File{inRead, outWrite} // 3 and 4
		cmd.Env = append(cmd.Env, "MENDEL_FD_IN=3", "MENDEL_FD_OUT=4")
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		inRead.Close()
		outWrite.Close()
		return inWrite, outRead
	}
	toEvaluator, fromEvaluator := start(evaluator)
	toSubject, fromSubject := start(subject)
	// The runner keeps the evaluator's hello for itself.
	var length uint32
	if err := binary.Read(fromEvaluator, binary.LittleEndian, &length); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, fromEvaluator, int64(length)); err != nil {
		t.Fatal(err)
	}
	copied := make(chan error, 2)
	go func() { _, err := io.Copy(toSubject, fromEvaluator); toSubject.Close(); copied <- err }()
	go func() { _, err := io.Copy(toEvaluator, fromSubject); toEvaluator.Close(); copied <- err }()
	for _, cmd := range []*exec.Cmd{evaluator, subject} {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", cmd.Args, err)
		}
	}
	<-copied
	<-copied
}

func TestTheExampleLearnsAndIsScored(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	helpers, err := filepath.Abs("../measure/protocol/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(helpers); err != nil {
		t.Skip("the protocol's Python helpers are not there")
	}
	dir, out := exampleTask(t), t.TempDir()
	result := filepath.Join(out, "result.json")
	command := func(where string, args ...string) *exec.Cmd {
		cmd := exec.Command(python, args...)
		cmd.Dir = filepath.Join(dir, where)
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + out, "PYTHONPATH=" + helpers, "PYTHONDONTWRITEBYTECODE=1", "MENDEL_SEED=7",
			"MENDEL_OUT=" + out, "MENDEL_ARTIFACT=" + out, "MENDEL_RESULT=" + result,
		}
		return cmd
	}
	for _, args := range [][]string{{"train.py", "--smoke"}, {"train.py"}} {
		cmd := command("recipe", args...)
		cmd.Env = append(cmd.Env, "MENDEL_DATA="+filepath.Join(dir, "data"))
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, output)
		}
	}
	remove(t, dir, "data/certify") // mounted for the certifier alone
	evaluator := command("evaluator", "score.py")
	evaluator.Env = append(evaluator.Env, "MENDEL_DATA="+filepath.Join(dir, "data"))
	conversation(t, evaluator, command("recipe", "train.py", "--serve"))

	var metrics map[string]float64
	if err := json.Unmarshal([]byte(readText(t, result)), &metrics); err != nil {
		t.Fatal(err)
	}
	// The start is valid, and far from the 4.5 cm that weather leaves to anyone.
	if rmse := metrics["rmse"]; rmse < 15 || rmse > 40 || metrics["worst"] > 80 {
		t.Errorf("metrics %v", metrics)
	}
}

func TestTheExamplesDataComesFromItsScript(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	dir := exampleTask(t)
	for _, name := range []string{"train", "heldout", "certify"} {
		remove(t, dir, "data/"+name)
	}
	if output, err := exec.Command(python, filepath.Join(dir, "data", "make_data.py")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, name := range []string{"train", "heldout", "certify"} {
		if file := "data/" + name + "/tide.csv"; readText(t, filepath.Join(dir, file)) != readText(t, filepath.Join("example", file)) {
			t.Errorf("%s is not what the script makes", file)
		}
	}
}
