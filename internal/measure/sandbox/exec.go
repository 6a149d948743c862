package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exec is the helper behind the levels below Isolated. The program at [Host.Self] calls it with
// the words after [Verb]. It does not return when all goes well.
//
// It runs twice: "tend" stays outside the sandbox, starts and reaps the tree; "confine" gives up
// its rights for good and becomes the command.
func Exec(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("%s: meant for mendel's own use", Verb)
	}
	files, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("%s: %w", Verb, err)
	}
	spec, status, block := uintptr(3+files), uintptr(4+files), uintptr(5+files)
	switch {
	case args[0] == "tend" && len(args) == 3:
		defer os.RemoveAll(args[2])
		return tend(files, spec, os.NewFile(status, "status"), os.NewFile(block, "block"))
	case args[0] == "confine":
		for _, fd := range []uintptr{spec, status, block} {
			unix.CloseOnExec(int(fd))
		}
		err := confine(os.NewFile(spec, "specification"), os.NewFile(block, "block"))
		report := json.NewEncoder(os.NewFile(status, "status"))
		if e := new(commandError); errors.As(err, &e) {
			fmt.Fprintln(os.Stderr, err)
			return report.Encode(map[string]int{"exit-code": 127}) // as a shell says it
		}
		return report.Encode(map[string]string{"error": err.Error()})
	default:
		return fmt.Errorf("%s: meant for mendel's own use", Verb)
	}
}

// tend starts the command, reaps all that it leaves behind, and reports how it ended. When the
// block pipe closes, because we are told to stop or because whoever started us died, it kills.
func tend(files int, spec uintptr, status, block *os.File) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	// What runs below us may have our uid, and shall not trace us or look into /proc/us.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	hold, release, err := os.Pipe()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // Pdeathsig is tied to the forking thread
	fds := make([]uintptr, 0, files+6)
	for fd := range uintptr(3 + files) {
		fds = append(fds, fd)
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"mendel", Verb, "confine", strconv.Itoa(files)}, &syscall.ProcAttr{
		Env:   []string{},
		Files: append(fds, spec, status.Fd(), hold.Fd()),
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	})
	hold.Close()
	if err != nil {
		return json.NewEncoder(status).Encode(map[string]string{"error": err.Error()})
	}
	for fd := 3; fd < 3+files; fd++ {
		unix.Close(fd) // the command's own; held here they would never read as closed
	}
	fmt.Fprintf(status, "{\"child-pid\": %d}\n", pid)
	go func() {
		_, _ = io.CopyN(release, block, 1)
		_, _ = block.Read(make([]byte, 1))
		release.Close()
		killTree()
	}()
	return reapTree(pid, status)
}

// reapTree waits until no descendant is left. Once the command itself has ended the others are killed.
func reapTree(command int, status *os.File) error {
	for {
		var ended syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ended, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // ECHILD: all gone
			return nil
		case pid == command:
			code := ended.ExitStatus()
			if ended.Signaled() {
				code = 128 + int(ended.Signal())
			}
			fmt.Fprintf(status, "{\"exit-code\": %d}\n", code)
			go killTree()
		}
	}
}

// killTree kills all our descendants. They are stopped first, so that none forks meanwhile.
func killTree() {
	for {
		stopped := map[int]bool{}
		for again := true; again; {
			again = false
			for _, pid := range descendants(os.Getpid())[1:] {
				if !stopped[pid] {
					stopped[pid], again = true, true
					_ = unix.Kill(pid, unix.SIGSTOP)
				}
			}
		}
		for pid := range stopped {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if len(stopped) == 0 {
			return
		}
		runtime.Gosched()
	}
}
