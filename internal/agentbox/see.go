package agentbox

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"mendel/internal/measure/sandbox"
	"mendel/internal/propose/provider/command"
	"mendel/internal/research"
)

// system is what programs need of the host. Nothing in it tells of users or their work.
var system = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64",
	"/etc/alternatives", "/etc/ca-certificates", "/etc/pki", "/etc/ssl",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types",
}

// see lists what an agent sees of the host, and the directories in which it finds programs. Files
// that stand in for the host's are made in dir.
func (b *Box) see(s command.Spec, dir string) ([]sandbox.Mount, string, error) {
	var mounts []sandbox.Mount
	for _, path := range system {
		if _, err := os.Stat(path); err == nil {
			mounts = append(mounts, same(path))
		}
	}
	paths, search, err := install(s.Argv[0])
	if err != nil {
		return nil, "", err
	}
	for _, path := range slices.Concat(paths, b.options.Readable, s.Readable) {
		if slices.ContainsFunc(mounts, func(m sandbox.Mount) bool { return m.Host == path }) {
			continue
		}
		if slices.ContainsFunc(b.options.Hidden, func(h string) bool { return below(path, h) && !slices.Contains(s.Readable, path) }) {
			return nil, "", research.Hinted(fmt.Errorf("the agent's program needs %s, which agents must not see", path),
				"install the agent outside of runs and tasks")
		}
		mounts = append(mounts, same(path))
	}
	hiding, err := b.hide(mounts, dir)
	if err != nil {
		return nil, "", err
	}
	standIns, err := standIns(dir, s.Home)
	if err != nil {
		return nil, "", err
	}
	mounts = slices.Concat(mounts, hiding, standIns, []sandbox.Mount{
		{Host: s.Workspace, Guest: s.Workspace, Writable: true}, {Host: s.Home, Guest: s.Home, Writable: true},
	})
	search = append(search, "/usr/local/bin", "/usr/bin", "/bin")
	return mounts, strings.Join(slices.Compact(search), ":"), nil
}

// hide covers what must not be seen below what is seen.
func (b *Box) hide(mounts []sandbox.Mount, dir string) ([]sandbox.Mount, error) {
	var covers []sandbox.Mount
	for _, path := range b.options.Hidden {
		info, err := os.Stat(path)
		if err != nil || !slices.ContainsFunc(mounts, func(m sandbox.Mount) bool { return below(path, m.Guest) }) {
			continue
		}
		empty := filepath.Join(dir, "empty")
		if info.IsDir() {
			err = os.MkdirAll(empty, 0o755)
		} else {
			empty += "-file"
			err = os.WriteFile(empty, nil, 0o444)
		}
		if err != nil {
			return nil, fmt.Errorf("make the agent's box: %w", err)
		}
		covers = append(covers, sandbox.Mount{Host: empty, Guest: path})
	}
	return covers, nil
}

// standIns are the files of /etc that name the user and the hosts, with nothing of this machine
// in them.
func standIns(dir, home string) ([]sandbox.Mount, error) {
	var mounts []sandbox.Mount
	for name, text := range map[string]string{
		"passwd":        "agent:x:65534:65534:agent:" + home + ":/bin/sh\n",
		"group":         "agent:x:65534:\n",
		"hosts":         "127.0.0.1 localhost\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o444); err != nil {
			return nil, fmt.Errorf("make the agent's box: %w", err)
		}
		mounts = append(mounts, sandbox.Mount{Host: file, Guest: "/etc/" + name})
	}
	return mounts, nil
}

// install lists what a program consists of beside the system, and where it looks for other programs.
// That is the program as it was named, what it links to, the package it lies in where that can be
// told, and the same of its interpreter; never a whole home or directory of somebody's files.
func install(program string) (paths, search []string, err error) {
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return nil, nil, fmt.Errorf("find the agent's program: %w", err)
	}
	for _, path := range []string{program, real} {
		if !ofSystem(path) {
			paths = append(paths, path)
			search = append(search, filepath.Dir(path))
		}
	}
	if p := packageOf(real); p != "" && !ofSystem(p) {
		paths = append([]string{p}, paths...)
		search = append(search, filepath.Join(p, "bin"))
	}
	if interpreter := interpreterOf(real); interpreter != "" && interpreter != real {
		more, where, err := install(interpreter)
		if err == nil {
			paths, search = append(paths, more...), append(search, where...)
		}
	}
	return withoutCovered(paths), search, nil
}

func ofSystem(path string) bool {
	return slices.ContainsFunc(system, func(dir string) bool { return below(path, dir) })
}

// packageOf is the directory of the package to which a file belongs, or "". A package of npm that
// is installed for a version of Node lies in that version's directory, which holds the interpreter too.
func packageOf(file string) string {
	if prefix, _, ok := strings.Cut(file, "/lib/node_modules/"); ok {
		return prefix
	}
	if i := strings.LastIndex(file, "/node_modules/"); i >= 0 {
		return file[:i] + "/node_modules"
	}
	return ""
}

// interpreterOf is the program that runs a script, or "".
func interpreterOf(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	line, err := bufio.NewReaderSize(f, 256).ReadString('\n')
	rest, isScript := strings.CutPrefix(line, "#!")
	words := strings.Fields(rest)
	if err != nil || !isScript || len(words) == 0 {
		return ""
	}
	if filepath.Base(words[0]) != "env" {
		return words[0]
	}
	for _, w := range words[1:] {
		if strings.HasPrefix(w, "-") || strings.Contains(w, "=") {
			continue
		}
		path, err := exec.LookPath(w)
		if err != nil {
			return ""
		}
		return path
	}
	return ""
}

// withoutCovered drops paths that lie below another one.
func withoutCovered(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		return slices.ContainsFunc(paths, func(q string) bool { return p != q && below(p, q) })
	})
}
