package command

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const key = "sk-test-0123456789-abcdefghij?~>"

func TestAKeyIsFoundInAnyForm(t *testing.T) {
	r := &redactor{}
	r.hide(key)
	escaped := strings.NewReplacer("s", `\u0073`, "-", `\u002d`).Replace(key)
	for name, text := range map[string]string{
		"plain":                  `{"a":"` + key + `"}`,
		"with escapes":           `{"a":"` + escaped + `"}`,
		"base64":                 base64.StdEncoding.EncodeToString([]byte(key)),
		"base64 for URLs":        base64.RawURLEncoding.EncodeToString([]byte(key)),
		"base64 after one byte":  base64.StdEncoding.EncodeToString([]byte("x" + key + "y")),
		"base64 after two bytes": base64.StdEncoding.EncodeToString([]byte("xy" + key)),
		"base64 in lines":        `{"a":"` + strings.Join(pieces(base64.StdEncoding.EncodeToString([]byte("some words before: "+key+" and after")), 19), `\n`) + `"}`,
		"hexadecimal":            hex.EncodeToString([]byte(key)),
		"HEXADECIMAL":            strings.ToUpper(hex.EncodeToString([]byte(key))),
		"hexadecimal in pairs":   strings.Join(pieces(hex.EncodeToString([]byte(key)), 2), " "),
	} {
		if !r.holdsInside([]byte(text)) {
			t.Errorf("%s: not found in %s", name, text)
		}
	}
	for _, harmless := range []string{`{"a":"sk-test-"}`, base64.StdEncoding.EncodeToString([]byte(key[:20])), "", "{"} {
		if r.holdsInside([]byte(harmless)) {
			t.Errorf("found in %s", harmless)
		}
	}
	if got := r.clean("a " + base64.StdEncoding.EncodeToString([]byte(key+"123")) + " z " + hex.EncodeToString([]byte(key))); got != "a [key removed]MTIz z [key removed]" &&
		!strings.HasPrefix(got, "a [key removed]") || strings.Count(got, removed) != 2 {
		t.Errorf("cleaned: %s", got)
	}
}

func pieces(text string, n int) (all []string) {
	for ; len(text) > n; text = text[n:] {
		all = append(all, text[:n])
	}
	return append(all, text)
}

// What an agent can put in its workspace neither hides its key nor holds the search up.
func TestAWorkspaceIsSearchedWhateverLiesInIt(t *testing.T) {
	r := &redactor{}
	r.hide(key)
	for name, x := range map[string]struct {
		make  func(dir string) error
		found bool
		err   error
	}{
		"a file deep down": {func(dir string) error {
			return errors.Join(os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o755), os.WriteFile(filepath.Join(dir, "a/b/c/x"), []byte(key), 0o644))
		}, true, nil},
		"a pipe":      {func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "a"), 0o644) }, false, nil},
		"a link loop": {func(dir string) error { return os.Symlink(".", filepath.Join(dir, "a")) }, false, nil},
		"a link out":  {func(dir string) error { return os.Symlink("/dev/zero", filepath.Join(dir, "a")) }, false, nil},
		"a huge file": {func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "a"), nil, 0o644), os.Truncate(filepath.Join(dir, "a"), 3<<30))
		}, false, nil},
		"a deep tree": {func(dir string) error { return os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", 100)), 0o755) }, false, errTooMuch},
		"many megabytes": {func(dir string) (err error) {
			for i := range mostSearch/longestFile + 1 {
				name := filepath.Join(dir, fmt.Sprint(i))
				err = errors.Join(err, os.WriteFile(name, nil, 0o644), os.Truncate(name, longestFile))
			}
			return err
		}, false, errTooMuch},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := x.make(dir); err != nil {
				t.Fatal(err)
			}
			found, err := keyIn(dir, r)
			if found != x.found || !errors.Is(err, x.err) {
				t.Errorf("found %v, %v", found, err)
			}
		})
	}
}

const lent = `{"tokens":{"access":"token-zero-0123456789abcdef"},"kind":"oauth"}`

func TestARenewedLoginIsGivenBack(t *testing.T) {
	const renewed = `{"tokens":{"access":"token-next-0123456789abcdef"},"kind":"oauth"}`
	for name, x := range map[string]struct {
		copied   func(path string) error // what the agent does
		original string                  // what the user's file is by then
		want     string
		fault    string
	}{
		"untouched":      {nil, lent, lent, ""},
		"renewed":        {writes(renewed), lent, renewed, ""},
		"removed":        {os.Remove, lent, lent, ""},
		"not JSON":       {writes(renewed[:20]), lent, lent, "something else"},
		"keys are gone":  {writes(`{"kind":"oauth"}`), lent, lent, "something else"},
		"null":           {writes("null"), lent, lent, "something else"},
		"too long":       {writes(renewed + strings.Repeat(" ", 2<<20)), lent, lent, "more than"},
		"a pipe":         {func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) }, lent, lent, "not a regular file"},
		"a link":         {func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) }, lent, lent, "cannot be read"},
		"another's goes": {writes(renewed), `{"tokens":{},"kind":"other"}`, `{"tokens":{},"kind":"other"}`, "so did somebody else"},
		"renewed twice":  {writes(renewed), renewed, renewed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file, original, copied := filepath.Join(dir, "real", "auth.json"), filepath.Join(dir, "auth.json"), filepath.Join(dir, "home", "auth.json")
			if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(lent), 0o644), os.Symlink(file, original)); err != nil {
				t.Fatal(err)
			}
			l, err := lend(original, copied)
			if err != nil {
				t.Fatal(err)
			}
			if x.copied != nil {
				err = x.copied(copied)
			}
			if err := errors.Join(err, os.WriteFile(file, []byte(x.original), 0o644)); err != nil {
				t.Fatal(err)
			}
			if err := l.giveBack(); (err != nil) != (x.fault != "") || err != nil && !strings.Contains(err.Error(), x.fault) {
				t.Errorf("it says %v", err)
			}
			got, err := os.ReadFile(file)
			if err != nil || string(got) != x.want {
				t.Errorf("the user's file is %s, %v", got, err)
			}
			info, err := os.Lstat(file)
			if err != nil || x.want == renewed && x.original == lent && info.Mode() != 0o600 {
				t.Errorf("its mode is %v, %v", info.Mode(), err)
			}
			if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) != 1 {
				t.Errorf("left beside it: %v", entries)
			}
			if link, err := os.Lstat(original); err != nil || link.Mode().IsRegular() {
				t.Errorf("the link is gone: %v", err)
			}
		})
	}
}

func writes(text string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
}

func TestARenewedTokenIsASecretToo(t *testing.T) {
	dir := t.TempDir()
	original := filepath.Join(dir, "auth.json")
	if err := os.WriteFile(original, []byte(lent), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := lend(original, filepath.Join(dir, "home", "auth.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &redactor{login: l}
	if !r.holds([]byte("token-zero-0123456789abcdef")) {
		t.Error("the token that was lent is unknown")
	}
	if err := os.WriteFile(l.copied, []byte(`{"access":"token-next-0123456789abcdef"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := r.clean("token-next-0123456789abcdef token-zero-0123456789abcdef"); got != removed+" "+removed {
		t.Errorf("cleaned: %s", got)
	}
}
