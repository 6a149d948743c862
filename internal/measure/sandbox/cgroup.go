package sandbox

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups says where this process may make cgroups of its own that limit memory and process
// counts. Version 1 has a directory per controller, version 2 one for both.
type cgroups struct {
	version int // 0: none
	memory  string
	pids    string
	cpu     string // where processor time is counted
	reason  string // why memory or pids is missing
}

// findCgroups looks below root (the host's /) for a place for our cgroups, and tries it.
func findCgroups(root string) cgroups {
	own, err := ownCgroups(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return cgroups{reason: err.Error()}
	}
	mounted, err := cgroupMounts(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return cgroups{reason: err.Error()}
	}
	v2 := findV2(root, mounted["cgroup2"], own[""])
	if v2.version == 2 {
		return v2
	}
	v1 := cgroups{reason: v2.reason}
	for _, controller := range []string{"memory", "pids", "cpuacct"} {
		mount, ok := mounted[controller]
		if !ok {
			continue
		}
		dir := filepath.Join(root, mount, own[controller])
		if err := tryCgroup(dir); err != nil {
			v1.reason = err.Error()
			continue
		}
		v1.version = 1
		switch controller {
		case "memory":
			v1.memory = dir
		case "pids":
			v1.pids = dir
		case "cpuacct":
			v1.cpu = dir
		}
	}
	return v1
}

// findV2 climbs from our own cgroup to the nearest one that hands memory and pids down to its
// children and lets us make one. (A cgroup that holds processes cannot hand controllers down, so
// it is usually the parent.)
func findV2(root, mount, own string) cgroups {
	if mount == "" {
		return cgroups{reason: "cgroup v2 is not mounted"}
	}
	for at := filepath.Clean("/" + own); ; at = filepath.Dir(at) {
		dir := filepath.Join(root, mount, at)
		handed, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if controllers := strings.Fields(string(handed)); err == nil && slices.Contains(controllers, "memory") && slices.Contains(controllers, "pids") {
			if err := tryCgroup(dir); err != nil {
				return cgroups{reason: err.Error()}
			}
			return cgroups{version: 2, memory: dir, pids: dir, cpu: dir}
		}
		if at == "/" {
			return cgroups{reason: "no cgroup v2 above this process hands down memory and pids"}
		}
	}
}

// ownCgroups maps controller to our cgroup path; version 2 stands under the empty name.
func ownCgroups(file string) (map[string]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	own := map[string]string{}
	for line := range strings.Lines(string(b)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			own[controller] = fields[2]
		}
	}
	return own, nil
}

// cgroupMounts maps version 1 controllers, and "cgroup2", to their mount points.
func cgroupMounts(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mounted := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(head) < 5 || len(tail) < 3 {
			continue
		}
		switch point := head[4]; tail[0] {
		case "cgroup2":
			mounted["cgroup2"] = point
		case "cgroup":
			for option := range strings.SplitSeq(tail[2], ",") {
				mounted[option] = point
			}
		}
	}
	return mounted, lines.Err()
}

// tryCgroup makes and removes a cgroup below dir, and removes what dead runners left there.
func tryCgroup(dir string) error {
	if left, err := filepath.Glob(filepath.Join(dir, "mendel-*")); err == nil {
		for _, l := range left {
			owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(l), "mendel-"), "-")
			if pid, err := strconv.Atoi(owner); err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
				os.Remove(l) // refused, and rightly so, while it holds processes
			}
		}
	}
	probe := filepath.Join(dir, cgroupName())
	if err := os.Mkdir(probe, 0o755); err != nil {
		return err
	}
	defer os.Remove(probe)
	// Also the right to move processes there, which is a matter of the common ancestor.
	if err := unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK); err != nil {
		return fmt.Errorf("%s/cgroup.procs: %w", dir, err)
	}
	return nil
}

// cgroupName carries our pid, so that a later run can tell what a dead one left behind.
func cgroupName() string { return fmt.Sprintf("mendel-%d-%s", os.Getpid(), rand.Text()[:10]) }

// A cgroup is the cgroup of one sandbox; nil when there is none to be had.
type cgroup struct {
	version int
	memory  string // directories; empty where the controller is missing
	pids    string
	cpu     string
}

// create makes a cgroup with the limits set. extra is how many processes of our own it will hold.
func (c cgroups) create(l Limits, extra int) (*cgroup, error) {
	if c.version == 0 {
		return nil, nil
	}
	g := &cgroup{version: c.version}
	name := cgroupName()
	if c.memory != "" {
		g.memory = filepath.Join(c.memory, name)
	}
	if c.pids != "" {
		g.pids = filepath.Join(c.pids, name)
	}
	if c.cpu != "" {
		g.cpu = filepath.Join(c.cpu, name)
	}
	for _, dir := range g.dirs() {
		if err := os.Mkdir(dir, 0o755); err != nil {
			g.remove()
			return nil, fmt.Errorf("make cgroup: %w", err)
		}
	}
	if err := g.limit(l, extra); err != nil {
		g.remove()
		return nil, fmt.Errorf("limit cgroup: %w", err)
	}
	return g, nil
}

func (g *cgroup) limit(l Limits, extra int) error {
	set := func(dir, file string, value int64) error {
		return os.WriteFile(filepath.Join(dir, file), []byte(strconv.FormatInt(value, 10)), 0)
	}
	if l.Processes > 0 && g.pids != "" {
		if err := set(g.pids, "pids.max", int64(l.Processes+extra)); err != nil {
			return err
		}
	}
	if l.Memory <= 0 || g.memory == "" {
		return nil
	}
	if g.version == 1 {
		return set(g.memory, "memory.limit_in_bytes", l.Memory)
	}
	if err := set(g.memory, "memory.max", l.Memory); err != nil {
		return err
	}
	// A kernel without swap accounting lacks the one, an old kernel the other.
	for file, value := range map[string]int64{"memory.swap.max": 0, "memory.oom.group": 1} {
		if err := set(g.memory, file, value); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// dirs lists the cgroup's directories, each once.
func (g *cgroup) dirs() []string {
	if g == nil {
		return nil
	}
	var dirs []string
	for _, d := range []string{g.memory, g.pids, g.cpu} {
		if d != "" && !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// cpuTime returns what the tree has used so far, with what ended long ago.
func (g *cgroup) cpuTime() (used time.Duration, ok bool) {
	if g == nil || g.cpu == "" {
		return 0, false
	}
	if g.version == 1 {
		b, err := os.ReadFile(filepath.Join(g.cpu, "cpuacct.usage"))
		ns, bad := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		return time.Duration(ns), err == nil && bad == nil
	}
	b, _ := os.ReadFile(filepath.Join(g.cpu, "cpu.stat"))
	for line := range strings.Lines(string(b)) {
		if v, found := strings.CutPrefix(line, "usage_usec "); found {
			us, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return time.Duration(us) * time.Microsecond, err == nil
		}
	}
	return 0, false
}

// join moves a process, which must not have forked yet, into the cgroup.
func (g *cgroup) join(pid int) error {
	for _, dir := range g.dirs() {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

// oom reports whether the kernel killed for memory here.
func (g *cgroup) oom() bool {
	if g == nil || g.memory == "" {
		return false
	}
	file := "memory.events"
	if g.version == 1 {
		file = "memory.oom_control"
	}
	b, _ := os.ReadFile(filepath.Join(g.memory, file))
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strings.TrimSpace(n) != "0"
		}
	}
	return false
}

// pidList lists the processes in the cgroup.
func (g *cgroup) pidList() []int {
	dirs := g.dirs()
	if len(dirs) == 0 {
		return nil
	}
	b, _ := os.ReadFile(filepath.Join(dirs[0], "cgroup.procs"))
	var pids []int
	for field := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 { // 0: of a pid namespace that we cannot see
			pids = append(pids, pid)
		}
	}
	return pids
}

// killAll ends every process in the cgroup and returns once there is none.
func (g *cgroup) killAll() {
	if g != nil && g.pids != "" {
		os.WriteFile(filepath.Join(g.pids, "pids.max"), []byte("0"), 0) // no forks while we go through the list
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		pids := g.pidList()
		if len(pids) == 0 {
			return
		}
		if g.version != 2 || os.WriteFile(filepath.Join(g.memory, "cgroup.kill"), []byte("1"), 0) != nil {
			for _, pid := range pids {
				unix.Kill(pid, unix.SIGKILL)
			}
		}
		time.Sleep(wait)
	}
}

// remove deletes the cgroup, which must be empty. The kernel may need a moment to agree.
func (g *cgroup) remove() {
	for _, dir := range g.dirs() {
		for range 50 {
			if err := os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}
