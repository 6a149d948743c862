package sandbox

import (
	"os"
	"path/filepath"
	"testing"
)

// A host's cgroup files, as far as we read them.
func fakeHost(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFindCgroups(t *testing.T) {
	const (
		v2mount = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		v1mount = "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
			"33 31 0:30 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n" +
			"34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		user = "user.slice/user-1000.slice/user@1000.service/app.slice"
	)
	for _, test := range []struct {
		name    string
		files   map[string]string
		version int
		memory  string
		pids    string
	}{
		{
			"version 2: the parent hands down, our own cgroup cannot", map[string]string{
				"proc/self/mountinfo": v2mount, "proc/self/cgroup": "0::/" + user + "/run-1.scope\n",
				"sys/fs/cgroup/" + user + "/cgroup.subtree_control":             "cpu memory pids\n",
				"sys/fs/cgroup/" + user + "/cgroup.procs":                       "",
				"sys/fs/cgroup/" + user + "/run-1.scope/cgroup.subtree_control": "\n",
			}, 2, "sys/fs/cgroup/" + user, "sys/fs/cgroup/" + user,
		},
		{
			"version 2 without memory", map[string]string{
				"proc/self/mountinfo": v2mount, "proc/self/cgroup": "0::/a/b\n",
				"sys/fs/cgroup/a/cgroup.subtree_control": "pids\n", "sys/fs/cgroup/a/cgroup.procs": "",
			}, 0, "", "",
		},
		{
			"version 1 beside an empty version 2", map[string]string{
				"proc/self/mountinfo": v1mount, "proc/self/cgroup": "4:memory:/me\n8:pids:/\n0::/\n",
				"sys/fs/cgroup/memory/me/cgroup.procs": "", "sys/fs/cgroup/pids/cgroup.procs": "",
				"sys/fs/cgroup/unified/cgroup.subtree_control": "\n",
			}, 1, "sys/fs/cgroup/memory/me", "sys/fs/cgroup/pids",
		},
		{"nothing", map[string]string{"proc/self/mountinfo": "", "proc/self/cgroup": ""}, 0, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := fakeHost(t, test.files)
			got := findCgroups(root)
			in := func(path string) string {
				if path == "" {
					return ""
				}
				return filepath.Join(root, path)
			}
			if got.version != test.version || got.memory != in(test.memory) || got.pids != in(test.pids) {
				t.Errorf("got %+v", got)
			}
			if got.version == 0 && got.reason == "" {
				t.Error("no reason given")
			}
		})
	}
}

func TestGuestPathsBecomeHostPaths(t *testing.T) {
	host := t.TempDir()
	s, err := newShadow(&Command{Mounts: []Mount{
		{Host: host, Guest: "/recipe"},
		{Host: host, Guest: "/data/train"},
		{Host: "/usr", Guest: "/usr"},
		{Host: host, Guest: "/usr/lib/cover"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.remove()
	for word, want := range map[string]string{
		"/recipe/train.py":   s.dir + "/recipe/train.py",
		"/recipe":            s.dir + "/recipe",
		"/recipes":           "/recipes",
		"/data":              s.dir + "/data", // above a mount
		"/data/train/x":      s.dir + "/data/train/x",
		"/data/val":          "/data/val",
		"/tmp/x":             s.dir + "/tmp/x",
		"/usr":               "/usr",
		"/usr/bin/python3":   "/usr/bin/python3",
		"/":                  "/",
		"train.py":           "train.py",
		"--out=/recipe/x":    "--out=" + s.dir + "/recipe/x",
		"key=/recipe":        "key=/recipe",
		"s/recipe/train/":    "s/recipe/train/",
		"print('/recipe/x')": "print('/recipe/x')",
	} {
		if got := s.argument(word); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
	if got, want := s.variable("PYTHONPATH=/recipe:/opt:/data/train"), "PYTHONPATH="+s.dir+"/recipe:/opt:"+s.dir+"/data/train"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if real, err := filepath.EvalSymlinks(s.path("/data/train")); err != nil || real != host {
		t.Errorf("leads to %q, %v", real, err)
	}
}
