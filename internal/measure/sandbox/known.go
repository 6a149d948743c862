package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// knownHost is what only trial starts can tell about a host.
type knownHost struct {
	Bubblewrap string   `json:"bubblewrap"` // path; empty where it does not work
	Options    []string `json:"options"`    // that this bubblewrap needs beside the usual ones
	Landlock   int      `json:"landlock"`   // ABI; 0: none
	Mounts     bool     `json:"private_mounts"`
}

// host is what a probe would say, without its findings.
func (k knownHost) host() *Host {
	h := &Host{
		Level: Limited, bwrap: k.Bubblewrap, bwrapExtra: k.Options, landlock: k.Landlock,
		PrivateMounts: k.Mounts, Disk: Watchdog, cgroups: findCgroups("/"),
	}
	h.Self, _ = os.Executable()
	switch {
	case k.Bubblewrap != "":
		h.Level = Isolated
	case k.Landlock > 0:
		h.Level = Confined
	}
	if hasPrivateMounts() {
		h.Disk, h.PrivateMounts = Tmpfs, true
	}
	h.chooseEnforcers()
	return h
}

// Known is [Probe] for those who start often: it takes the facts that an earlier call found
// out about the same host from cacheDir. Nothing is taken from before a reboot, from another
// user, other kernel settings or another bubblewrap. A host from memory has no findings.
func Known(ctx context.Context, cacheDir string) *Host {
	var k knownHost
	if text, err := os.ReadFile(factsFile(cacheDir)); err == nil && json.Unmarshal(text, &k) == nil {
		return k.host()
	}
	h := Probe(ctx)
	h.Remember(cacheDir)
	return h
}

// Remember keeps what the probe found out for [Known]. Where that cannot be written, later
// calls only take longer.
func (h *Host) Remember(cacheDir string) {
	text, err := json.Marshal(knownHost{Bubblewrap: h.bwrap, Options: h.bwrapExtra, Landlock: h.landlock, Mounts: h.PrivateMounts})
	if err != nil || os.MkdirAll(cacheDir, 0o755) != nil {
		return
	}
	draft, err := os.CreateTemp(cacheDir, ".host-")
	if err != nil {
		return
	}
	_, err = draft.Write(text)
	if closeErr := draft.Close(); err != nil || closeErr != nil || os.Rename(draft.Name(), factsFile(cacheDir)) != nil {
		os.Remove(draft.Name())
	}
}

// factsFile is named after everything on which the facts depend.
func factsFile(cacheDir string) string {
	sum := sha256.New()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	fmt.Fprintf(sum, "%s uid %d", boot, os.Getuid())
	for _, name := range userNamespaceSettings {
		// Whether it is 0: how many namespaces are allowed differs inside one, where runners are.
		fmt.Fprintf(sum, " %s=%t", name, sysctl(name) == "0")
	}
	fmt.Fprintf(sum, " %s", sysctl(appArmorSetting))
	bwrap, _ := exec.LookPath("bwrap")
	if info, err := os.Stat(bwrap); err == nil {
		fmt.Fprintf(sum, " %s %d %d", bwrap, info.Size(), info.ModTime().UnixNano())
	}
	return filepath.Join(cacheDir, "host-"+hex.EncodeToString(sum.Sum(nil)[:8])+".json")
}
