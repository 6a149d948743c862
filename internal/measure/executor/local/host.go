package local

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mendel/internal/measure/executor"
)

// A Host is what this machine offers to jobs.
type Host struct {
	CPUs []int    // logical processors that this process may use
	GPUs []string // as CUDA_VISIBLE_DEVICES names them: index, GPU-uuid or MIG-uuid
}

// Detect asks the kernel which processors this process may use, and CUDA_VISIBLE_DEVICES, or
// else /dev, which GPUs.
func Detect() (Host, error) {
	cpus, err := affinity()
	if err != nil {
		return Host{}, err
	}
	visible, restricted := os.LookupEnv("CUDA_VISIBLE_DEVICES")
	var gpus []string
	if restricted {
		gpus = parseVisible(visible)
	} else if gpus, err = deviceNodes("/dev"); err != nil {
		return Host{}, err
	}
	return Host{CPUs: cpus, GPUs: gpus}, nil
}

// Fits is how many jobs of this size can run side by side without sharing a core or a GPU:
// 0 means that not even one can run.
func (h Host) Fits(r executor.Resources) int {
	n := len(h.CPUs) / cores(r)
	if r.GPUs > 0 {
		n = min(n, len(h.GPUs)/r.GPUs)
	}
	if r.Exclusive {
		n = min(n, 1)
	}
	return n
}

func affinity() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("which processors may be used: %w", err)
	}
	cpus := make([]int, 0, set.Count())
	for c := 0; len(cpus) < set.Count(); c++ {
		if set.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}

// parseVisible reads CUDA_VISIBLE_DEVICES as CUDA does: a negative entry hides itself and all
// that follow. An entry that stands twice counts once.
func parseVisible(value string) []string {
	gpus := []string{}
	for entry := range strings.SplitSeq(value, ",") {
		entry = strings.TrimSpace(entry)
		if n, err := strconv.Atoi(entry); entry == "" || entry == "NoDevFiles" || err == nil && n < 0 {
			break
		}
		if !slices.Contains(gpus, entry) {
			gpus = append(gpus, entry)
		}
	}
	return gpus
}

// deviceNodes lists the indices of /dev/nvidia0, /dev/nvidia1, …
func deviceNodes(dev string) ([]string, error) {
	nodes, err := filepath.Glob(filepath.Join(dev, "nvidia[0-9]*"))
	if err != nil {
		return nil, fmt.Errorf("look for GPUs: %w", err)
	}
	var indices []int
	for _, node := range nodes {
		if n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(node), "nvidia")); err == nil {
			indices = append(indices, n)
		}
	}
	slices.Sort(indices)
	gpus := make([]string, len(indices))
	for i, n := range indices {
		gpus[i] = strconv.Itoa(n)
	}
	return gpus, nil
}

// hardwareThreads reads which logical processors are threads of one core. A host that does not
// tell, as some containers, has none.
func hardwareThreads(cpus []int) map[int][]int {
	siblings := map[int][]int{}
	for _, c := range cpus {
		text, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", c))
		if err != nil {
			continue
		}
		for _, other := range parseCPUList(string(text)) {
			if other != c {
				siblings[c] = append(siblings[c], other)
			}
		}
	}
	return siblings
}

// parseCPUList reads the kernel's "0-3,8,10-11", skipping what it does not understand.
func parseCPUList(list string) []int {
	var cpus []int
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, errFrom := strconv.Atoi(first)
		to, errTo := strconv.Atoi(last)
		if errFrom != nil || errTo != nil || to-from > 4096 {
			continue
		}
		for c := from; c <= to; c++ {
			cpus = append(cpus, c)
		}
	}
	return cpus
}
