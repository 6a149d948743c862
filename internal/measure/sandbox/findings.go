package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	appArmorSetting = "kernel/apparmor_restrict_unprivileged_userns" // Ubuntu: 1 denies
	debianSetting   = "kernel/unprivileged_userns_clone"             // Debian, Arch: 0 denies
	mostSetting     = "user/max_user_namespaces"                     // 0 denies
)

// userNamespaceSettings are the kernel settings by which user namespaces are denied.
var userNamespaceSettings = []string{appArmorSetting, debianSetting, mostSetting}

// userNamespacesAllowed reports whether none of the settings denies them.
func userNamespacesAllowed() bool {
	return sysctl(appArmorSetting) != "1" && sysctl(debianSetting) != "0" && sysctl(mostSetting) != "0"
}

// userNamespaceHint says why user namespaces are denied here, and how to allow them.
func userNamespaceHint() string {
	switch {
	case sysctl(appArmorSetting) == "1":
		return "AppArmor denies user namespaces to programs without a profile; as root: " +
			"sysctl kernel.apparmor_restrict_unprivileged_userns=0, or install a profile for bwrap"
	case sysctl(debianSetting) == "0":
		return "as root: sysctl kernel.unprivileged_userns_clone=1"
	case sysctl(mostSetting) == "0":
		return "as root: sysctl user.max_user_namespaces=10000"
	default:
		return "in a container, allow user namespaces and mounts (a seccomp profile that permits unshare and mount, an unmasked /proc)"
	}
}

// sysctl reads a kernel setting; empty where there is none.
func sysctl(name string) string {
	b, _ := os.ReadFile(filepath.Join("/proc/sys", name))
	return strings.TrimSpace(string(b))
}

// probeMachine completes the findings that doctor prints.
func (h *Host) probeMachine() {
	spaces := userNamespacesAllowed()
	h.found("user namespaces", yes(spaces, "allowed", "restricted for ordinary users"), userNamespaceHint(), spaces)

	h.found("Landlock", yes(h.landlock > 0, fmt.Sprintf("ABI %d", h.landlock), "missing"),
		"Linux 5.13 or newer, with landlock in the lsm= boot parameter", h.landlock > 0)
	_, err := filter(false)
	filtered := err == nil && sysctl("kernel/seccomp/actions_avail") != ""
	h.found("seccomp", yes(filtered, "filters work", "missing"), "a kernel with CONFIG_SECCOMP_FILTER", filtered)

	held := h.cgroups.memory != "" && h.cgroups.pids != ""
	have := "v" + strconv.Itoa(h.cgroups.version) + ", memory and process limits held by the kernel"
	if !held {
		have = "not usable (" + h.cgroups.reason + "): a watchdog holds the memory limit"
	}
	h.found("cgroups", have, "start the run under: systemd-run --user --scope -p Delegate=yes", held)
	h.found("scratch", yes(h.PrivateMounts, "size-limited memory file system", "a plain directory, size watched"),
		userNamespaceHint(), h.PrivateMounts)

	h.found("cores", strconv.Itoa(runtime.NumCPU()), "", true)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		h.found("memory", fmt.Sprintf("%.1f GiB", float64(info.Totalram)*float64(info.Unit)/(1<<30)), "", true)
	}
	gpus, _ := filepath.Glob("/dev/nvidia[0-9]*")
	h.found("GPUs", yes(len(gpus) > 0, strconv.Itoa(len(gpus)), "none"), "", true)
	path, err := exec.LookPath("python3")
	h.found("python3", yes(err == nil, path, "not in PATH"), "install it: apt-get install python3 python3-numpy", err == nil)
}

func yes(ok bool, then, otherwise string) string {
	if ok {
		return then
	}
	return otherwise
}

func lastWord(s string) string {
	words := strings.Fields(s)
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}
