package calibration

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mendel/internal/research"
)

// Hardware finds out what this machine is made of from /proc. What is not there stays empty. gpus is
// how many graphics processors trials may use.
func Hardware(cores, gpus int) research.Machine { return hardware("/proc", cores, gpus) }

func hardware(proc string, cores, gpus int) research.Machine {
	m := research.Machine{Cores: cores, CPU: processor(filepath.Join(proc, "cpuinfo")), GPUs: models(proc, gpus)}
	if kib, err := strconv.ParseFloat(first(filepath.Join(proc, "meminfo"), "MemTotal"), 64); err == nil {
		m.Memory = int(math.Round(kib / (1 << 20)))
	}
	if text, err := os.ReadFile(filepath.Join(proc, "sys/kernel/osrelease")); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	return m
}

// processor is the model by name and number: some names are of a whole family, and some processors
// have numbers only.
func processor(cpuinfo string) string {
	var parts []string
	for _, key := range []string{"model name", "cpu family", "model", "stepping", "CPU implementer", "CPU part"} {
		if value := first(cpuinfo, key); value != "" {
			parts = append(parts, strings.TrimPrefix(key+" ", "model name ")+value)
		}
	}
	return strings.Join(parts, ", ")
}

// models names as many graphics processors as trials may use. Where several kinds are built in, which
// of them those are is not known, and all are named.
func models(proc string, gpus int) []string {
	files, err := filepath.Glob(filepath.Join(proc, "driver/nvidia/gpus/*/information"))
	if err != nil || gpus == 0 {
		return nil
	}
	var names []string
	for _, f := range files {
		names = append(names, first(f, "Model"))
	}
	slices.Sort(names)
	switch kinds := slices.Compact(slices.Clone(names)); len(kinds) {
	case 0:
		return slices.Repeat([]string{"unknown model"}, gpus)
	case 1:
		return slices.Repeat(kinds, gpus)
	}
	return names
}

// first is the value of the first line "key : value" of a file, without the unit that may follow a
// number of kilobytes.
func first(path, key string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(name) == key {
			return strings.TrimSuffix(strings.TrimSpace(value), " kB")
		}
	}
	return ""
}
