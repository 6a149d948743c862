package sandbox

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// watchEvery is how often limits are looked at that the kernel does not hold for us. A process
// that touches fresh memory as fast as it can gets about 100 MB further in the time.
const watchEvery = 25 * time.Millisecond

// clockTick is the unit of processor times in /proc: USER_HZ, 100 on every Linux we know.
const clockTick = time.Second / 100

// watch starts the watchdog, if any limit needs one, and unhooks the context when the tree ends.
func (p *Process) watch(c *Command, unhook func() bool) {
	l := c.Limits
	watchMemory := l.Memory > 0 && p.host.Memory == Watchdog
	watchCount := l.Processes > 0 && p.host.Processes == Watchdog
	watchDisk := l.Disk > 0 && p.host.Disk == Watchdog
	if !watchMemory && !watchCount && !watchDisk && l.CPUSeconds <= 0 {
		p.minders.Go(func() { <-p.stop; unhook() })
		return
	}
	var written []string
	for _, m := range c.Mounts {
		if m.Writable {
			written = append(written, m.Host)
		}
	}
	p.minders.Go(func() {
		defer unhook()
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-p.stop:
				return
			case <-tick.C:
			}
			if watchMemory || watchCount || l.CPUSeconds > 0 {
				use := p.use()
				p.mu.Lock()
				p.seenCPU = max(p.seenCPU, use.cpu)
				p.mu.Unlock()
				switch {
				case watchMemory && use.resident > l.Memory && proportional(use.pids) > l.Memory:
					p.over("memory")
				case watchCount && use.tasks > l.Processes:
					p.over("processes")
				case l.CPUSeconds > 0 && use.cpu > time.Duration(l.CPUSeconds)*time.Second:
					p.over("cpu")
				}
			}
			if watchDisk && n%8 == 7 && diskUse(written) > l.Disk {
				p.over("disk")
			}
		}
	})
}

type use struct {
	resident int64
	tasks    int
	cpu      time.Duration
	pids     []int
}

// use adds up what the tree uses now.
func (p *Process) use() use {
	pids := p.group.pidList()
	if pids == nil && p.initPID > 0 {
		pids = descendants(p.initPID)
		if p.host.Level != Isolated {
			pids = append(pids, descendants(p.launcher.Pid)...)
		}
	}
	var sum use
	sum.pids = unique(pids)
	for _, pid := range sum.pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // ended meanwhile
		}
		// The name in parentheses may hold anything; the fields that follow are numbered from 3.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 22 {
			continue
		}
		number := func(field int) int64 {
			n, _ := strconv.ParseInt(fields[field-3], 10, 64)
			return n
		}
		sum.resident += number(24) * int64(os.Getpagesize())
		sum.tasks += int(number(20))
		// Own user and system time, and that of children already waited for.
		sum.cpu += time.Duration(number(14)+number(15)+number(16)+number(17)) * clockTick
	}
	if total, ok := p.group.cpuTime(); ok {
		sum.cpu = total
	}
	return sum
}

// proportional adds up memory with shared pages counted once. It is dear, and asked only when the
// plain sum, which counts them for each process, is over the limit.
func proportional(pids []int) int64 {
	var total int64
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "Pss:"); ok {
				kib, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
				total += kib << 10
			}
		}
	}
	return total
}

// descendants lists a process and all below it.
func descendants(root int) []int {
	pids := []int{root}
	for i := 0; i < len(pids); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, list := range lists {
			b, _ := os.ReadFile(list)
			for field := range strings.FieldsSeq(string(b)) {
				if pid, err := strconv.Atoi(field); err == nil {
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids
}

func unique(pids []int) []int {
	seen := map[int]bool{}
	var once []int
	for _, pid := range pids {
		if !seen[pid] {
			seen[pid] = true
			once = append(once, pid)
		}
	}
	return once
}

// diskUse counts the bytes that files below the directories occupy.
func diskUse(dirs []string) int64 {
	var total int64
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // removed while we looked
			}
			if info, err := d.Info(); err == nil {
				if stat, ok := info.Sys().(*syscall.Stat_t); ok {
					total += stat.Blocks * 512
				}
			}
			return nil
		})
	}
	return total
}
