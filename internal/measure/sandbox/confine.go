package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// confine becomes the command, and so returns only errors.
func confine(specFile, block *os.File) error {
	var spec confinement
	b, err := io.ReadAll(io.NewSectionReader(specFile, 0, 1<<30))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &spec); err != nil {
		return err
	}
	if _, err := io.ReadFull(block, make([]byte, 1)); err != nil {
		return fmt.Errorf("not released: %w", err)
	}
	// Capabilities, the filter and the program belong to the thread that calls execve.
	runtime.LockOSThread()
	path, notFound := "", error(nil)
	if spec.Dir != "" {
		if err := os.Chdir(spec.Dir); err != nil {
			return err
		}
	}
	os.Clearenv()
	for _, e := range spec.Env {
		name, value, _ := strings.Cut(e, "=")
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("environment %q: %w", name, err)
		}
	}
	if path, notFound = exec.LookPath(spec.Argv[0]); notFound == nil && !spec.Bare {
		if err := spec.giveUp(); err != nil {
			return err
		}
	}
	if notFound != nil {
		return &commandError{notFound}
	}
	return &commandError{&os.PathError{Op: "exec", Path: path, Err: syscall.Exec(path, spec.Argv, os.Environ())}}
}

// A commandError is the command's own fault: there is no such program.
type commandError struct{ error }

// giveUp drops every right that the command shall not have. There is no way back.
func (s *confinement) giveUp() error {
	if err := s.setLimits(); err != nil {
		return err
	}
	dropCapabilities()
	if s.UID >= 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(s.UID, s.UID, s.UID)); err != nil {
			return fmt.Errorf("change group: %w", err)
		}
		if err := syscall.Setresuid(s.UID, s.UID, s.UID); err != nil {
			return fmt.Errorf("change user: %w", err)
		}
	}
	if err := emptyCapabilities(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if s.Confine {
		if err := s.restrict(); err != nil {
			return fmt.Errorf("landlock: %w", err)
		}
	}
	// Below Confined the filter is a gift, where the kernel has it.
	if err := installFilter(!s.Confine); err != nil && s.Confine {
		return err
	}
	return nil
}

func (s *confinement) setLimits() error {
	// Go raises the soft limit of open files and puts it back at exec, past the limit that was
	// meanwhile set for us; setting it ourselves makes Go forget.
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("limit open files: %w", err)
	}
	if s.Processes <= 0 {
		return nil
	}
	most := uint64(userTasks(os.Getuid()) + s.Processes)
	return setLimit(0, "processes", unix.RLIMIT_NPROC, most)
}

// dropCapabilities empties the bounding set, so that not even root gets any back by exec.
func dropCapabilities() {
	for c := uintptr(0); c <= 63; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
			return // past the kernel's last capability, or an ordinary user, who has none to drop
		}
	}
}

func emptyCapabilities() error {
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) // old kernels have none
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// restrict applies Landlock: files by allow-list, no TCP, no signals or abstract sockets outwards.
func (s *confinement) restrict() error {
	var rules []landlock.Rule
	add := func(paths []string, dirs, files func(...string) landlock.FSRule) {
		for _, p := range paths {
			info, err := os.Stat(p)
			switch {
			case err != nil: // a library that this host does not have
			case info.IsDir():
				rules = append(rules, dirs(p))
			default:
				rules = append(rules, files(p))
			}
		}
	}
	writableDirs := func(paths ...string) landlock.FSRule {
		if s.Landlock < 2 {
			return landlock.RWDirs(paths...)
		}
		return landlock.RWDirs(paths...).WithRefer() // rename between its directories
	}
	deviceFiles := func(paths ...string) landlock.FSRule { return landlock.RWFiles(paths...).WithIoctlDev() }
	list := func(paths ...string) landlock.FSRule {
		return landlock.PathAccess(llsys.AccessFSReadDir, paths...)
	}
	noFiles := func(...string) landlock.FSRule { return landlock.ROFiles() }
	add(append(s.Readable, alwaysReadable...), landlock.RODirs, landlock.ROFiles)
	add(s.Writable, writableDirs, landlock.RWFiles)
	add(s.Listed, list, noFiles)
	add(append(s.Devices, alwaysWritable...), landlock.RWDirs, deviceFiles)
	return landlock.V8.BestEffort().Restrict(rules...)
}

// What every program may open: nothing in it tells of this host's files or of other processes.
var (
	alwaysReadable = []string{
		"/etc/ld.so.cache", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems",
		"/proc/sys/vm/overcommit_memory", "/sys/devices/system/cpu", "/sys/devices/system/node",
	}
	alwaysWritable = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
)

// landlockABI returns the version that the kernel speaks; 0 where there is none.
func landlockABI() int {
	abi, err := llsys.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return abi
}

func installFilter(sockets bool) error {
	program, err := filter(sockets)
	if err != nil {
		return err
	}
	code := encode(program)
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&code[0]))}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(code)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
