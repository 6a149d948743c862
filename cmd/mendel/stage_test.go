package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"mendel/internal/lineage"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/research"
)

// newStage is a live run, not begun yet, of a task whose trials take a fifth of a second: quick,
// with the roles fit (train.py) and features (features.py).
func newStage(t *testing.T, env ...string) *liveRun {
	t.Helper()
	l := &liveRun{t: t, dir: t.TempDir(), output: &bytes.Buffer{}}
	for _, e := range os.Environ() {
		if !strings.Contains(e, "_API_KEY=") {
			l.env = append(l.env, e)
		}
	}
	l.env = append(l.env, "XDG_CACHE_HOME="+sharedCache(t), "XDG_STATE_HOME="+t.TempDir(), "TERM=dumb")
	l.env = append(l.env, env...)
	l.mendel("task", "new", "quick")
	l.rewrite("quick/task.yaml", "seeds: 2", "seeds: 1", "replicates: 3", "replicates: 2")
	return l
}

// rewrite replaces texts of a file, each of which must be there.
func (l *liveRun) rewrite(name string, pairs ...string) {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	text := string(data)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			l.t.Fatalf("%s does not hold %q", name, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	l.write(name, text)
}

func (l *liveRun) write(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// plays starts a loopback provider for the length of a test.
func plays(t *testing.T, p providertest.Protocol, script providertest.Script) *providertest.Server {
	t.Helper()
	return serves(t, providertest.Options{Protocol: p, Play: script})
}

func serves(t *testing.T, o providertest.Options) *providertest.Server {
	t.Helper()
	s, err := providertest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func call(name string, args map[string]any) providertest.Call {
	if args == nil {
		args = map[string]any{}
	}
	raw, err := json.Marshal(args)
	if err != nil {
		panic(err)
	}
	return providertest.Call{Name: name, Args: string(raw)}
}

func calls(c ...providertest.Call) providertest.Reply { return providertest.Reply{Calls: c} }

func edit(path, from, to string) providertest.Call {
	return call("edit_file", map[string]any{"path": path, "old": from, "new": to})
}

func submitted(hypothesis string) providertest.Call {
	return call("submit_trial", map[string]any{"hypothesis": hypothesis, "expected_delta": -1})
}

func look(path string) providertest.Call { return call("read_file", map[string]any{"path": path}) }

// A dial is one number of the recipe that a scripted model turns, to another value in each session.
type dial struct {
	path, before string // the number follows this text

	mu     sync.Mutex
	turned map[string]int // by conversation
}

func rate() *dial   { return &dial{path: "train.py", before: "LEARNING_RATE = "} }
func offset() *dial { return &dial{path: "features.py", before: "numbers = ["} }

// value is the number as the model read it in this conversation, and what it makes of it.
func (d *dial) value(r providertest.Request) (now, next string) {
	found := regexp.MustCompile(regexp.QuoteMeta(d.before) + `([0-9.]+)`).FindSubmatch(r.Body)
	if found == nil {
		return "?", "?"
	}
	v, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		return "?", "?"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.turned == nil {
		d.turned = map[string]int{}
	}
	if d.turned[r.System+r.Prompt] == 0 {
		d.turned[r.System+r.Prompt] = 1 + len(d.turned)
	}
	return string(found[1]), strconv.FormatFloat(v*(1.1+0.01*float64(d.turned[r.System+r.Prompt])), 'f', 7, 64)
}

func (d *dial) edit(from, to string) providertest.Call {
	return edit(d.path, d.before+from, d.before+to)
}

func (d *dial) submit(next string) providertest.Call {
	return submitted("change " + strings.Trim(d.before, " =[") + " to " + next)
}

// careful is a model that reads, edits wrongly, is told so by a check, repairs, submits, reads
// the verdict and ends.
func careful(d *dial) providertest.Script {
	return func(r providertest.Request) providertest.Reply {
		now, next := d.value(r)
		switch r.Replies {
		case 0:
			return providertest.Reply{Thinking: "Look first.", Text: "I look around.", Calls: []providertest.Call{look(d.path), call("list_files", nil)}}
		case 1:
			return calls(d.edit(now, "= "+next))
		case 2:
			return calls(call("syntax_check", nil))
		case 3:
			if len(r.Results) != 1 || !strings.Contains(r.Results[0].Text, "SyntaxError") {
				return providertest.Reply{Text: fmt.Sprintf("The check did not complain: %+v", r.Results)}
			}
			return calls(d.edit("= "+next, next), call("syntax_check", nil))
		case 4:
			return calls(d.submit(next))
		}
		return providertest.Reply{Text: "The verdict is read; I end the session."}
	}
}

// brisk is the same without the mistake.
func brisk(d *dial) providertest.Script {
	return func(r providertest.Request) providertest.Reply {
		now, next := d.value(r)
		switch r.Replies {
		case 0:
			return calls(look(d.path))
		case 1:
			return calls(d.edit(now, next), d.submit(next))
		}
		return providertest.Reply{Text: "I end the session."}
	}
}

// sessions are those of the run, oldest first.
func (l *liveRun) sessions() (list []lineage.Session) {
	l.t.Helper()
	l.read(func(r *lineage.Reader) {
		newest, err := r.Sessions(0, 1000)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, s := range newest {
			list = append([]lineage.Session{s}, list...)
		}
	})
	return list
}

func (l *liveRun) spend() (s research.Spend) {
	l.t.Helper()
	l.read(func(r *lineage.Reader) {
		var err error
		if s, err = r.Spend(); err != nil {
			l.t.Fatal(err)
		}
	})
	return s
}

func (l *liveRun) trials() (list []research.Trial) {
	l.t.Helper()
	l.read(func(r *lineage.Reader) {
		err := eachTrial(r, func(t research.Trial) error { list = append(list, t); return nil })
		if err != nil {
			l.t.Fatal(err)
		}
	})
	return list
}

var hashes = regexp.MustCompile(`[0-9a-f]{64}`)

// everything is all that a run has stored and said: its files, its events, every blob that an
// event names, and what commands print.
func (l *liveRun) everything() map[string]string {
	l.t.Helper()
	all := map[string]string{"output": l.output.String(), "status": l.mendel("status", "run"), "export": l.mendel("export", "run", "--format", "jsonl")}
	err := filepath.WalkDir(filepath.Join(l.dir, "run"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = string(data)
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.read(func(r *lineage.Reader) {
		for after := int64(0); ; {
			events, err := r.Events(context.Background(), after, 500)
			if err != nil {
				l.t.Fatal(err)
			}
			if len(events) == 0 {
				return
			}
			for _, e := range events {
				after = e.Seq
				text, err := json.Marshal(e)
				if err != nil {
					l.t.Fatal(err)
				}
				all[fmt.Sprintf("event %d", e.Seq)] = string(text)
				for _, hash := range hashes.FindAllString(string(text), -1) {
					if blob, err := r.Blob(research.Hash(hash)); err == nil {
						all["blob "+hash] = string(blob)
					}
				}
			}
		}
	})
	all["session"] = l.mendel("session", "show", "1", "--state", "run")
	return all
}

// keepsSecret wants no part of a key anywhere in the run.
func (l *liveRun) keepsSecret(key string) {
	l.t.Helper()
	blobs := 0
	for where, text := range l.everything() {
		if strings.HasPrefix(where, "blob ") {
			blobs++
		}
		for i := 0; i+8 <= len(key); i++ {
			if part := key[i : i+8]; strings.Contains(text, part) {
				l.t.Errorf("%s shows %q of the key", where, part)
				break
			}
		}
	}
	if blobs < 3 {
		l.t.Errorf("only %d blobs were looked at: the search has become blind", blobs)
	}
}
