package runner

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"mendel/internal/research"
)

func TestExcerpt(t *testing.T) {
	for _, tt := range []struct {
		name, ended string
		plain       bool
		output      string
		want        research.CrashExcerpt
	}{
		{
			name: "deepest frame of the recipe, below it a library", ended: "exit status 1", plain: true,
			output: `step 1
Traceback (most recent call last):
  File "/recipe/train.py", line 90, in <module>
    main()
    ~~~~^^
  File "/recipe/train.py", line 41, in step
    x = np.dot(a, b)
        ^^^^^^^^^^^^
  File "/usr/lib/python3/dist-packages/numpy/core.py", line 7, in dot
    raise ValueError
ValueError: shapes (3,) and (4,) not aligned
`,
			want: research.CrashExcerpt{Exception: "ValueError: shapes (3,) and (4,) not aligned", Frame: "train.py:41 in step", Code: "x = np.dot(a, b)"},
		},
		{
			name: "chain: the last exception ended it", ended: "exit status 1", plain: true,
			output: `Traceback (most recent call last):
  File "/recipe/train.py", line 3, in load
    d["k"]
KeyError: 'k'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/tmp/mendel-guest-123/recipe/lib/io.py", line 9, in <module>
    raise data.Broken("no k") from e
data.Broken: no k
with a second line
`,
			want: research.CrashExcerpt{Exception: "data.Broken: no k", Frame: "lib/io.py:9 in <module>", Code: `raise data.Broken("no k") from e`},
		},
		{
			name: "syntax error without a traceback", ended: "exit status 1", plain: true,
			output: "  File \"train.py\", line 2\n    def f(\n         ^\nSyntaxError: '(' was never closed\n",
			want:   research.CrashExcerpt{Exception: "SyntaxError: '(' was never closed", Frame: "train.py:2", Code: "def f("},
		},
		{
			name: "exception group", ended: "exit status 1", plain: true,
			output: `  + Exception Group Traceback (most recent call last):
  |   File "/recipe/train.py", line 5, in <module>
  |     raise ExceptionGroup("two", [a, b])
  | ExceptionGroup: two (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/recipe/train.py", line 3, in <module>
    |     raise OSError(28, "No space left on device")
    | OSError: [Errno 28] No space left on device
    +------------------------------------
`,
			want: research.CrashExcerpt{Exception: "OSError: [Errno 28] No space left on device", Frame: "train.py:3 in <module>", Code: `raise OSError(28, "No space left on device")`},
		},
		{
			name: "out of memory after a handled exception", ended: "out of memory",
			output: "Traceback (most recent call last):\n  File \"/recipe/t.py\", line 1, in f\n    g()\nValueError: x\n",
			want:   research.CrashExcerpt{Exception: "out of memory; before that ValueError: x", Frame: "t.py:1 in f", Code: "g()"},
		},
		{
			name: "segmentation fault with faulthandler", ended: "ended by signal: segmentation fault",
			output: "Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n" +
				"  File \"/usr/lib/python3.11/ctypes.py\", line 1 in string_at\n  File \"/recipe/train.py\", line 8 in poke\n  File \"/recipe/train.py\", line 12 in <module>\n",
			want: research.CrashExcerpt{Exception: "ended by signal: segmentation fault; before that Fatal Python error: Segmentation fault", Frame: "train.py:8 in poke"},
		},
		{
			name: "a shell", ended: "exit status 127", plain: true,
			output: "building\ntrain.sh: line 3: nvcc: command not found\nbye\n",
			want:   research.CrashExcerpt{Exception: "exit status 127: train.sh: line 3: nvcc: command not found"},
		},
		{
			name: "a panic", ended: "exit status 101", plain: true,
			output: "thread 'main' panicked at src/main.rs:3:5: index out of bounds\nnote: run with `RUST_BACKTRACE=1`\n",
			want:   research.CrashExcerpt{Exception: "exit status 101: thread 'main' panicked at src/main.rs:3:5: index out of bounds"},
		},
		{name: "silence", ended: "exit status 3", plain: true, want: research.CrashExcerpt{Exception: "exit status 3"}},
		{
			name: "killed while chatting", ended: "killed at its time-out of 20 s", output: "epoch 1\nepoch 2\n",
			want: research.CrashExcerpt{Exception: "killed at its time-out of 20 s"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Phase = "train"
			if got := excerptOf("train", tt.ended, tt.plain, tt.output); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func FuzzExcerpt(f *testing.F) {
	f.Add("Traceback (most recent call last):\n  File \"/recipe/a.py\", line 1, in f\n    x\nE: y\n", true)
	f.Add("  + Exception Group Traceback (most recent call last):\n  | ", false)
	f.Add("Fatal Python error: x\n  File \"b.py\", line 2 in g", true)
	f.Add("\x00\xff\r\u2028 File \"\", line 1", true)
	f.Fuzz(func(t *testing.T, output string, plain bool) {
		e := excerptOf("train", "exit status 1", plain, output)
		for what, s := range map[string]string{"exception": e.Exception, "frame": e.Frame, "code": e.Code} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
				t.Errorf("%s %q is not one clean line", what, s)
			}
		}
		if len(e.Exception) > maxException || len(e.Frame) > maxFrame || len(e.Code) > maxCode {
			t.Errorf("excerpt too long: %+v", e)
		}
		if e.Exception == "" {
			t.Error("a crash without a reason")
		}
	})
}

func TestTail(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		limit      int
		want       string
	}{
		{"short", "a\nb\n", 100, "a\nb"},
		{"whole lines", "first line\nsecond line\n", 14, "second line"},
		{"one long line", strings.Repeat("é", 100), 7, "ééé"},
		{"escape codes and progress bars", "10%\r50%\r100%\n\x1b[31mred\x1b[0m\x00\n", 100, "100%\n[31mred[0m"},
		{"not UTF-8", "a\xff\xfeb", 100, "a�b"},
		{"nothing left to show", "abc", 0, ""},
	} {
		if got := tailOf([]byte(tt.text), tt.limit); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestCaptureKeepsBothEnds(t *testing.T) {
	var c capture
	c.Write([]byte("begin\n"))
	for range 3 * maxLog / 1000 {
		c.Write([]byte(strings.Repeat("x", 999) + "\n"))
	}
	c.Write([]byte("end\n"))
	text, size := c.content()
	if len(text) > maxLog+200 || size < 3*maxLog-2000 {
		t.Errorf("%d bytes kept of %d", len(text), size)
	}
	if s := string(text); !strings.HasPrefix(s, "begin\n") || !strings.HasSuffix(s, "x\nend\n") || !strings.Contains(s, "left out") {
		t.Errorf("kept %q … %q", s[:20], s[len(s)-20:])
	}
	var small capture
	small.Write([]byte("all of it"))
	if text, _ := small.content(); string(text) != "all of it" {
		t.Errorf("small log %q", text)
	}
}

// TestStdoutBetweenTheLines: stdout and stderr arrive in turns, and a line of one may fall into a traceback.
func TestStdoutBetweenTheLines(t *testing.T) {
	trace := []string{tracebackHead, `  File "/recipe/train.py", line 4, in <module>`, `    time.sleep(1/0)`, `               ~^~`, "ZeroDivisionError: division by zero"}
	for at := range len(trace) + 1 {
		lines := slices.Insert(slices.Clone(trace), at, "stopping_early", "loss: 2.5")
		e := excerptOf("train", "exit status 1", true, strings.Join(lines, "\n"))
		if e.Exception != "ZeroDivisionError: division by zero" || e.Frame != "train.py:4 in <module>" {
			t.Errorf("printed before line %d: %+v", at, e)
		}
	}
}
