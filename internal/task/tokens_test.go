package task

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mendel/internal/research"
)

func pythonHash(source string) research.Hash {
	return TokenHash("python", map[string][]byte{"train.py": []byte(source)}, false)
}

func TestWhatIsNoCodeDoesNotCount(t *testing.T) {
	const program = "def f(x, y):\n    if x:\n        return g(x,\n                 'a  b')\n    return {1: 2}\n\nprint(f(1, 2))\n"
	for name, same := range map[string]string{
		"comments":        "# new\ndef f(x, y):  # what\n    if x:\n# odd\n        return g(x,  # more\n                 'a  b')\n    return {1: 2}\nprint(f(1, 2))\n",
		"blank lines":     "\n\ndef f(x, y):\n\n    if x:\n   \n        return g(x,\n\n                 'a  b')\n    return {1: 2}\n\n\n\nprint(f(1, 2))",
		"spaces":          "def f( x,y ) :\n    if  x :\n        return g( x , 'a  b' )\n    return {1:2}   \nprint (f(1,2))\n",
		"other indents":   "def f(x, y):\n  if x:\n  \treturn g(x, 'a  b')\n  return {1: 2}\nprint(f(1, 2))\n",
		"joined lines":    "def f(x, y):\n    if \\\n  x:\n        return g(x,'a  b')\n    return {1: 2}\nprint(f(1, 2))\n",
		"carriage return": strings.ReplaceAll(program, "\n", "\r\n"),
		"byte order mark": "\xef\xbb\xbf" + program,
		"coding: utf-8":   "# -*- coding: utf-8 -*-\n" + program,
	} {
		if pythonHash(same) != pythonHash(program) {
			t.Errorf("%s: another hash for the same program", name)
		}
	}
}

func TestWhatIsCodeCounts(t *testing.T) {
	for _, pair := range [][2]string{
		{"if a:\n    b\n    c\n", "if a:\n    b\nc\n"},
		{"x = 'a b'\n", "x = 'a  b'\n"},
		{"x = '''a\n# b'''\n", "x = '''a\n# c'''\n"},
		{"x = '#a'\n", "x = '#b'\n"},
		{"x = \"\"\"a\n\nb\"\"\"\n", "x = \"\"\"a\nb\"\"\"\n"},
		{"a <= b\n", "a < = b\n"},
		{"a = not b\n", "a = notb\n"},
		{"x = 1e-5\n", "x = 1e - 5\n"},
		{"x = 0x1e-5\n", "x = 0x1e -6\n"},
		{"x = r'\\'\n", "x = r'\\ '\n"},
		{"f'{a}'\n", "f'{b}'\n"},
		{"f'{a!r:>{w}}'\n", "f'{a!r:>{v}}'\n"},
		{"f\"{d['#']}\" # x\n", "f\"{d['#b']}\" # x\n"},
		{"f'{x:#x}' # a\n", "f'{x:#o}' # a\n"},
		{"f'{{#a' # b\n", "f'{{#b' # b\n"},
		{"rb'\\'#a'\n", "rb'\\'#b'\n"},
		{"def f():\n    'doc'\n", "def f():\n    'cod'\n"},
		{"a;b\n", "a\nb;\n"},
		{"# coding: latin-1\nx = 'é'\n", "# coding: utf-8\nx = 'é'\n"},
		{"x = 1\n", "x = 1_0\n"},
		{"x = .5\n", "x = . 5\n"},
		{"x = ...\n", "x = . . .\n"},
	} {
		if pythonHash(pair[0]) == pythonHash(pair[1]) {
			t.Errorf("one hash for %q and %q", pair[0], pair[1])
		}
	}
}

func TestFilesAndCommentsCountWhereTheyMust(t *testing.T) {
	hash := func(language string, comments bool, files ...string) research.Hash {
		m := map[string][]byte{}
		for i := 0; i < len(files); i += 2 {
			m[files[i]] = []byte(files[i+1])
		}
		return TokenHash(language, m, comments)
	}
	if hash("python", true, "a.py", "x = 1") == hash("python", true, "a.py", "x = 1  # y") {
		t.Error("a comment does not count where bytes are the score")
	}
	if hash("python", false, "a.py", "x = 1") == hash("python", false, "b.py", "x = 1") {
		t.Error("the name of a file does not count")
	}
	if hash("python", false, "a.py", "x\n", "b.py", "y\n") == hash("python", false, "a.py", "x\ny\n", "b.py", "") {
		t.Error("the border between two files does not count")
	}
	if hash("python", false, "c.yaml", "a:\n  b: 1 # x") == hash("python", false, "c.yaml", "a:\nb: 1 # x") {
		t.Error("the indentation of a configuration does not count")
	}
	if hash("c", false, "a.c", "int x;  \r\n\n") != hash("c", false, "a.c", "int x;\n") {
		t.Error("spaces at the end of a line count")
	}
}

// oracle runs Python's own tokenizer over many sources at once. For each it gives the tokens, or
// nil where Python refuses the source.
func oracle(t *testing.T, sources []string) [][]string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	const script = `
import io, json, sys, tokenize as T, warnings
warnings.simplefilter("ignore")
SKIP = {T.COMMENT, T.NL, T.ENCODING, T.ENDMARKER}
def tokens(source):
    try:
        compile(source, "x", "exec", dont_inherit=True)
    except Exception:
        return None
    if not source.endswith("\n"):
        source += "\n"  # otherwise some versions leave the last line open
    out, depth, start = [], 0, None
    lines = io.StringIO(source).readlines()
    def text(a, b):
        (r, c), (s, d) = a, b
        if r == s:
            return lines[r-1][c:d]
        return lines[r-1][c:] + "".join(lines[r:s-1]) + lines[s-1][:d]
    for t in T.generate_tokens(io.StringIO(source).readline):
        name = T.tok_name[t.type]
        if name in ("FSTRING_START", "TSTRING_START"):
            depth, start = depth + 1, start or t.start
        elif name in ("FSTRING_END", "TSTRING_END"):
            depth -= 1
            if depth == 0:
                out.append("STRING " + text(start, t.end)); start = None
        elif depth == 0 and t.type not in SKIP:
            out.append(name + " " + ("" if name in ("INDENT", "DEDENT", "NEWLINE") else t.string))
    return out
json.dump([tokens(s) for s in json.load(sys.stdin)], sys.stdout)
`
	input, err := json.Marshal(sources)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-I", "-c", script)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var tokens [][]string
	if err := json.Unmarshal(output, &tokens); err != nil {
		t.Fatal(err)
	}
	return tokens
}

// Programs are put together from pieces that have fooled tokenizers.
var pieces = []string{
	"x", "y1", "_z", "é", "rb", "f", "if x:\n", "else:\n", "def f(a, *, b=1):\n", "return x", "pass", "\n", "\n", "\n    ", "\n        ", "\n\t", "\n  # c\n    ",
	" ", "  ", "\\\n", "# comment", "# 'quote", "#", "(", ")", "[", "]", "{", "}", ":", ",", ";", "=", "==", "<", "<=", "<<", "<<=", "-", "->", ":=", "**", "*", ".", "...", "@", "!", "!=",
	"1", "1.", ".5", "1e", "1e-5", "0x1e", "0x1e-5", "1_000", "1j", "1if", "'", "\"", "'a'", "\"b # c\"", "'''d\n# e'''", "\"\"\"", "r'\\'", "rb'\\''", "'\\\\'", "f'{x}'", "f'{x!r:>{y1}}'",
	"f\"{x['a']}\"", "f'{{'", "f'{x:#x}'", "f'''{\nx}'''", "f'{(lambda: 1)()}'", "f'{x=}'", "rf'\\{x}'", "f'\\{x}'", "f'\\N{DASH}'", "x = ", "print(", "not ", "a in b", "\r\n", "\f", "\u00a0", "$",
}

// Whatever two programs differ in that Python sees, their hashes differ in.
func TestEqualHashesMeanEqualTokens(t *testing.T) {
	type pair struct{ a, b string }
	var pairs []pair
	rapid.Check(t, func(r *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(r, "parts")
		program := strings.Join(parts, "")
		for i := range parts {
			for _, piece := range pieces {
				other := slices.Clone(parts)
				other[i] = piece
				pairs = append(pairs, pair{program, strings.Join(other, "")}, pair{program, strings.Join(slices.Insert(other, i, parts[i]), "")})
			}
		}
	})
	var sources []string
	var equal []pair
	for _, p := range pairs {
		if p.a != p.b && pythonHash(p.a) == pythonHash(p.b) {
			equal = append(equal, p)
			sources = append(sources, p.a, p.b)
		}
	}
	least := 1000
	if testing.Short() { // which draws a fifth
		least = 200
	}
	if len(equal) < least {
		t.Fatalf("only %d pairs have one hash, too few to prove anything", len(equal))
	}
	tokens := oracle(t, sources)
	for i, p := range equal {
		if a, b := tokens[2*i], tokens[2*i+1]; !slices.Equal(a, b) {
			t.Errorf("one hash for %q and %q, which Python reads as\n%q\n%q", p.a, p.b, a, b)
		}
	}
}

// The other way round, on real programs: what Python sees as the same has one hash.
func TestRealProgramsAreUnderstood(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	out, err := exec.Command(python, "-I", "-c", "import os; print(os.path.dirname(os.__file__))").Output()
	if err != nil {
		t.Skip(err)
	}
	files, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*.py"))
	files = files[:min(len(files), 120)]
	var sources []string
	for _, f := range files {
		sources = append(sources, readText(t, f))
	}
	for i, want := range oracle(t, sources) {
		if want == nil || strings.Contains(sources[i], "coding: ") {
			continue
		}
		got, err := pythonTokens([]byte(sources[i]))
		if err != nil {
			t.Errorf("%s: %v", files[i], err)
			continue
		}
		// Python calls names, numbers, operators and strings apart; the texts must be the same.
		var ours, theirs []string
		for _, token := range got {
			ours = append(ours, token.text)
		}
		for _, token := range want {
			_, text, _ := strings.Cut(token, " ")
			theirs = append(theirs, text)
		}
		if !slices.Equal(ours, theirs) {
			t.Errorf("%s: read differently from Python", files[i])
		}
	}
}

func FuzzPythonTokens(f *testing.F) {
	for _, p := range pieces {
		f.Add(p)
	}
	f.Add("def f():\n\treturn f'{x:{y}}'\n")
	f.Add(strings.Repeat("f'{", 60))
	f.Fuzz(func(t *testing.T, source string) {
		tokens, err := pythonTokens([]byte(source))
		if err != nil {
			return
		}
		depth := 0
		for _, token := range tokens {
			switch token.kind {
			case pyIndent:
				depth++
			case pyDedent:
				depth--
			case pyCode:
				if !strings.Contains(strings.ReplaceAll(source, "\r\n", "\n"), token.text) {
					t.Fatalf("%q is not in the source", token.text)
				}
			}
		}
		if depth != 0 {
			t.Fatalf("%d indents are left open", depth)
		}
	})
}
