package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"text/tabwriter"

	"mendel/internal/propose/provider/providertest"
)

// measure measures one team: the model's server in this process, the supervisor in its own.
func measure(s setting, agents int) (sample, error) {
	server, err := providertest.New(providertest.Options{Protocol: providertest.Anthropic, Play: newScript(), Latency: s.Latency})
	if err != nil {
		return sample{}, err
	}
	defer server.Close()
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	text, err := json.Marshal(order{setting: s, Agents: agents, URL: server.URL})
	if err != nil {
		return sample{}, err
	}
	var out bytes.Buffer
	cmd := exec.Command(self, "-supervise", string(text))
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("supervisor: %w", err)
	}
	if refused := server.Refused(); len(refused) > 0 {
		return sample{}, fmt.Errorf("the model refused %d requests: %s", len(refused), refused[0])
	}
	var m sample
	return m, json.Unmarshal(out.Bytes(), &m)
}

// report prints the median of each figure, and the range of the throughput.
func report(w io.Writer, s setting, sizes []int, measured [][]sample) error {
	ideal := callsPerSession*s.Latency.Seconds() + s.Trial.Seconds()
	fmt.Fprintf(w, "a session is %d calls of %v and a trial of %v: %.1f s if nothing else took time\n", callsPerSession, s.Latency, s.Trial, ideal)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "specialists\tsessions/min (least, most)\tefficiency\tof the ideal\tsession, s\t95 %\tpeak MB\tCPU s/min\tCPU ms/session\tmodel\tothers\t")
	one := median(measured[0], throughput) / float64(sizes[0])
	for i, n := range sizes {
		m := measured[i]
		rate := median(m, throughput)
		rates := each(m, throughput)
		fmt.Fprintf(t, "%d\t%.1f (%.1f, %.1f)\t%.3f\t%.3f\t%.2f\t%.2f\t%.0f\t%.1f\t%.1f\t%.2f\t%.2f\t\n", n,
			rate, rates[0], rates[len(rates)-1], rate/(float64(n)*one), rate/(float64(n)*60/ideal),
			median(m, func(m sample) float64 { return m.Mean }), median(m, func(m sample) float64 { return m.P95 }),
			median(m, func(m sample) float64 { return float64(m.Memory) / 1e6 }),
			median(m, func(m sample) float64 { return m.Supervisor / m.Wall * 60 }),
			median(m, func(m sample) float64 { return m.Supervisor / m.Sessions * 1000 }),
			median(m, func(m sample) float64 { return m.Server / m.Wall }),
			median(m, func(m sample) float64 { return (m.Machine - m.Server - m.Supervisor) / m.Wall }))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "efficiency: sessions/min over those of one specialist times their number; model, others: processors that the model's server and the rest of the machine kept busy")
	return err
}

func throughput(m sample) float64 { return m.Sessions / m.Wall * 60 }

// each lists one figure of all samples, in rising order.
func each(samples []sample, figure func(sample) float64) []float64 {
	var values []float64
	for _, m := range samples {
		values = append(values, figure(m))
	}
	slices.Sort(values)
	return values
}

func median(samples []sample, figure func(sample) float64) float64 {
	values := each(samples, figure)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}
