package research

import (
	"fmt"
	"strings"
	"time"
)

// A Calibration is the noise of a task's starting recipe as a run of its own measured it, on one
// machine. A later run on the same machine registers it in event 1.
type Calibration struct {
	Run   string    `json:"run"`  // id of the run that measured it
	Head  string    `json:"head"` // of that run's chain
	At    time.Time `json:"at"`
	Noise Noise     `json:"noise"`
}

// Drift is how far a score lies from the mean that was calibrated, and whether that is beyond the
// noise floor: then the machine is not what it was.
func (c Calibration) Drift(score float64) (by float64, beyond bool) {
	by = score - c.Noise.Mean
	return by, by != 0 && !c.Noise.Inside(by)
}

// Calibrate decides what noise a run goes by, from its own measurements of the baseline. The spread
// of a stored calibration stands while the first of them agrees with it; otherwise they speak for
// themselves. The mean is never a stored one. The zero value of Host is for the caller to fill in.
func Calibrate(kind NoiseKind, stored *Calibration, scores []float64) Calibrated {
	c := Calibrated{Noise: NoiseOf(kind, scores)}
	if stored == nil || len(scores) == 0 {
		return c
	}
	by, beyond := stored.Drift(scores[0])
	c.Drift = &by
	if !beyond {
		c.From = stored.Run
		c.Noise.N, c.Noise.SD = stored.Noise.N, stored.Noise.SD
	}
	return c
}

// A Machine is what scores were measured on, as far as they can depend on it. What could not be
// found out is empty.
type Machine struct {
	CPU         string      `json:"cpu"`        // model
	Cores       int         `json:"cores"`      // that trials may use
	Memory      int         `json:"memory_gib"` // rounded
	GPUs        []string    `json:"gpus,omitempty"`
	Kernel      string      `json:"kernel"`
	Environment string      `json:"environment"` // interpreter and packages, in one line
	Site        Hash        `json:"site_digest,omitempty"`
	Sandbox     SandboxNote `json:"sandbox"`
	Slots       int         `json:"slots"` // trials that run side by side
}

// Hardware is the machine without its software and its occupancy.
func (m Machine) Hardware() Machine {
	return Machine{CPU: m.CPU, Cores: m.Cores, Memory: m.Memory, GPUs: m.GPUs}
}

// Differences says in what another machine, seen now, differs.
func (m Machine) Differences(now Machine) []string {
	var all []string
	compare := func(what string, was, is any) {
		if a, b := fmt.Sprint(was), fmt.Sprint(is); a != b {
			all = append(all, fmt.Sprintf("%s %s, now %s", what, a, b))
		}
	}
	compare("processor", m.CPU, now.CPU)
	compare("cores", m.Cores, now.Cores)
	compare("memory in GiB", m.Memory, now.Memory)
	compare("GPUs", strings.Join(m.GPUs, " + "), strings.Join(now.GPUs, " + "))
	compare("kernel", m.Kernel, now.Kernel)
	compare("environment", m.Environment, now.Environment)
	compare("site file", m.Site.Short(), now.Site.Short())
	compare("sandbox", m.Sandbox.Level, now.Sandbox.Level)
	compare("limits on memory, processes and disk", strings.Join([]string{m.Sandbox.Memory, m.Sandbox.Processes, m.Sandbox.Disk}, " "),
		strings.Join([]string{now.Sandbox.Memory, now.Sandbox.Processes, now.Sandbox.Disk}, " "))
	compare("trials side by side", m.Slots, now.Slots)
	return all
}
