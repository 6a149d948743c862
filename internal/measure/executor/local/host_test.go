package local

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestVisibleDevices(t *testing.T) {
	for value, want := range map[string][]string{
		"":                 {},
		"0":                {"0"},
		"2,0":              {"2", "0"},
		" 1 , 3 ":          {"1", "3"},
		"GPU-5ebe,MIG-1c":  {"GPU-5ebe", "MIG-1c"},
		"MIG-GPU-5ebe/1/0": {"MIG-GPU-5ebe/1/0"},
		"-1":               {},
		"0,-1,1":           {"0"},
		"0,,1":             {"0"},
		"NoDevFiles":       {},
		"1,1":              {"1"},
	} {
		if got := parseVisible(value); !slices.Equal(got, want) {
			t.Errorf("CUDA_VISIBLE_DEVICES=%q: GPUs %q, want %q", value, got, want)
		}
		t.Setenv("CUDA_VISIBLE_DEVICES", value)
		if host, err := Detect(); err != nil || !slices.Equal(host.GPUs, want) || len(host.CPUs) == 0 {
			t.Errorf("CUDA_VISIBLE_DEVICES=%q: detected %+v, error %v", value, host, err)
		}
	}
}

func TestDeviceNodes(t *testing.T) {
	dev := t.TempDir()
	for _, name := range []string{"nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia0x", "null"} {
		if err := os.WriteFile(filepath.Join(dev, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := deviceNodes(dev)
	if want := []string{"0", "2", "10"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("GPUs %q, want %q (error %v)", got, want, err)
	}
}

func TestCPUList(t *testing.T) {
	for list, want := range map[string][]int{
		"0\n": {0}, "0,64": {0, 64}, "0-3,8,10-11\n": {0, 1, 2, 3, 8, 10, 11}, "": nil, "x,1": {1}, "3-1": nil, "0-99999999": nil,
	} {
		if got := parseCPUList(list); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", list, got, want)
		}
	}
}
