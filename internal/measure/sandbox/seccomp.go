package sandbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// deniedCalls are system calls that no recipe needs and that reach out of a sandbox, or into the
// parts of the kernel where most escapes were found.
var deniedCalls = []string{
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
	"keyctl", "add_key", "request_key",
	"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
	"mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick", "open_tree",
	"move_mount", "mount_setattr", "swapon", "swapoff", "quotactl", "quotactl_fd",
	"unshare", "setns",
	"clock_settime", "clock_adjtime", "settimeofday", "adjtimex",
	"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "acct",
	"syslog", "open_by_handle_at", "name_to_handle_at", "personality", "vhangup",
}

// newNamespaces are the clone(2) flags that make a namespace of any kind.
const newNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// filter assembles the system call filter. Calls are allowed unless listed. With sockets false
// socket(2) is refused too, which closes TCP and unix sockets where there is no network
// namespace; socketpair(2) stays.
func filter(sockets bool) ([]bpf.RawInstruction, error) {
	native, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	var denied []string
	for _, name := range deniedCalls {
		if _, ok := native.SyscallNames[name]; ok { // an architecture may lack a call
			denied = append(denied, name)
		}
	}
	if !sockets {
		denied = append(denied, "socket")
	}
	policy := seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionErrno, Names: denied, NamesWithCondtions: refusedArguments()},
			// The flags of clone3 stand in memory, where a filter cannot look. Without the call
			// the C library uses clone.
			{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}},
		},
	}
	program, err := policy.Assemble()
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	// The assembled program lets calls of a foreign ABI (32-bit code) pass; refuse them first.
	const archOffset = 4 // of seccomp_data.arch
	prologue := []bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(native.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(seccomp.ActionErrno) | uint32(unix.EPERM)},
	}
	raw, err := bpf.Assemble(append(prologue, program...))
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	return raw, nil
}

// refusedArguments are calls that are refused for some of their arguments only: clone with a new
// namespace; kill(-1), which means every process of the user (a pid of -1 comes sign-extended or
// not); and ioctl(TIOCSTI), which types into the terminal it is called on.
func refusedArguments() []seccomp.NameWithConditions {
	return []seccomp.NameWithConditions{
		{Name: "clone", Conditions: seccomp.ArgumentConditions{
			{Argument: 0, Operation: seccomp.BitsSet, Value: newNamespaces}, // any of them
		}},
		{Name: "kill", Conditions: seccomp.ArgumentConditions{
			{Argument: 0, Operation: seccomp.Equal, Value: math.MaxUint32},
		}},
		{Name: "kill", Conditions: seccomp.ArgumentConditions{
			{Argument: 0, Operation: seccomp.Equal, Value: math.MaxUint64},
		}},
		{Name: "ioctl", Conditions: seccomp.ArgumentConditions{
			{Argument: 1, Operation: seccomp.Equal, Value: unix.TIOCSTI},
		}},
	}
}

// encode gives the program as the array of struct sock_filter that bubblewrap and the kernel read.
func encode(program []bpf.RawInstruction) []byte {
	var b bytes.Buffer
	for _, i := range program {
		b.Write(binary.NativeEndian.AppendUint16(nil, i.Op))
		b.WriteByte(i.Jt)
		b.WriteByte(i.Jf)
		b.Write(binary.NativeEndian.AppendUint32(nil, i.K))
	}
	return b.Bytes()
}
