package executortest

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// An event is what stand-ins of several jobs write into their common diary, a file whose order is
// the order of what happened.
type event string

const (
	started event = "started"
	ended   event = "ended"
)

// write adds an event. A stand-in that cannot keep its diary cannot be believed, and ends.
func write(diary string, what event, dir string) {
	if diary == "" {
		return
	}
	host, err := os.Hostname()
	if err == nil {
		err = appendLine(diary, fmt.Sprintf("%s\t%s\t%s", what, host, dir))
	}
	if err != nil {
		panic(err)
	}
}

// An entry is one line of a diary.
type entry struct {
	what   event
	host   string
	bundle string
}

func readDiary(t *testing.T, path string) []entry {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 3 {
			t.Fatalf("diary: line %q", line)
		}
		entries = append(entries, entry{event(fields[0]), fields[1], fields[2]})
	}
	return entries
}

// checkOccupancy replays a diary: never more than slots jobs at once, and nothing beside an
// exclusive job on its host.
func checkOccupancy(t *testing.T, diary []entry, slots int, exclusive map[string]bool) {
	t.Helper()
	running := map[string]string{} // bundle → host
	for _, e := range diary {
		if e.what == ended {
			delete(running, e.bundle)
			continue
		}
		running[e.bundle] = e.host
		if len(running) > slots {
			t.Errorf("%d jobs ran at once on %d slots", len(running), slots)
		}
		for bundle, host := range running {
			if bundle != e.bundle && host == e.host && (exclusive[bundle] || exclusive[e.bundle]) {
				t.Errorf("%s ran beside %s, one of them exclusive", e.bundle, bundle)
			}
		}
	}
	if len(running) > 0 {
		t.Errorf("%d jobs never ended", len(running))
	}
}
