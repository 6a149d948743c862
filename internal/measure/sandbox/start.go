package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A launch is a command made ready for the program that builds its sandbox: bubblewrap, or our
// own helper. Both speak the same small protocol over three descriptors: the launcher writes
// {"child-pid": N} to status once the process that will become the command exists, which then
// waits for a byte on block; after the command was executed and has ended the launcher writes
// {"exit-code": N}. In between stand we, and put the child under its limits without a race.
type launch struct {
	path    string
	argv    []string
	files   []*os.File // from descriptor 3 on; closed here after the start
	extra   int        // processes that the launcher adds to the command's own
	cleanup func()     // after the tree is gone
	note    string     // what the command did not get, for the record
}

// wire are our ends of a launcher's protocol.
type wire struct {
	status *os.File // read
	block  *os.File // write; closing it makes our own helper end the tree
}

// A Process is a started command.
type Process struct {
	host    *Host
	started time.Time

	launcher *os.Process
	wire     wire
	initPID  int
	initFD   int // pidfd of the root of the guest's process tree
	group    *cgroup
	out      *output
	cleanup  func()

	force *time.Timer // ends a tree whose helper does not

	mu       sync.Mutex
	killed   bool
	ended    bool // nothing is left to kill
	overflow string
	seenCPU  time.Duration // of the tree, when it was last looked at

	hello    chan greeting
	admitted chan struct{}  // closed once admit has done what it could
	minders  sync.WaitGroup // goroutines that end with the tree
	done     chan struct{}
	stop     chan struct{} // closed when the tree is gone, for watchdogs
	exit     Exit
}

// Start starts a command at the host's level and returns once it is under all of its limits.
// Ending ctx kills the whole tree. Every started Process must be waited for.
//
// It makes the calling process the sub-reaper of its descendants, because the exact processor
// time of a sandbox is only known to whoever reaps its first process.
func (h *Host) Start(ctx context.Context, c Command) (*Process, error) {
	started := time.Now()
	if err := errors.Join(ctx.Err(), c.check()); err != nil {
		return nil, err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("sandbox: become sub-reaper: %w", err)
	}
	p := &Process{
		host: h, started: started, initFD: -1,
		hello: make(chan greeting, 1), admitted: make(chan struct{}),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	var l launch
	var err error
	if h.Level == Isolated {
		p.wire, l, err = h.bubblewrap(&c)
	} else {
		p.wire, l, err = h.helper(&c)
	}
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	p.force = time.AfterFunc(time.Hour, p.endByForce)
	p.force.Stop()
	p.cleanup = l.cleanup
	p.exit.Note = l.note
	if p.group, err = h.cgroups.create(c.Limits, l.extra); err != nil {
		closeAll(l.files...)
		p.release()
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	p.out = newOutput(c.Limits.Output, func() { p.over("output") })
	if err := p.launch(l, &c); err != nil {
		p.out.finish()
		p.minders.Wait()
		p.release()
		return nil, fmt.Errorf("sandbox: start %s: %w", l.path, err)
	}
	unhook := context.AfterFunc(ctx, p.Kill)
	if err := p.admit(&c); err != nil {
		p.Kill()
		close(p.admitted)
		<-p.done
		unhook()
		// The sandbox did not come up, so what it printed is the launcher's, not the command's.
		return nil, fmt.Errorf("sandbox: start: %w", errors.Join(ctx.Err(), err, saidError(p.out.said())))
	}
	p.watch(&c, unhook)
	close(p.admitted)
	return p, nil
}

// launch starts the launcher, and a goroutine that waits for the tree to end.
func (p *Process) launch(l launch, c *Command) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	defer closeAll(l.files...)
	stdout, stderr := null, null
	if c.Stdout != nil {
		if stdout, err = p.out.pipe(c.Stdout, false); err != nil {
			return err
		}
		defer stdout.Close()
	}
	if stderr, err = p.out.pipe(orDiscard(c.Stderr), true); err != nil {
		return err
	}
	defer stderr.Close()
	attr := &os.ProcAttr{
		Dir:   "/",
		Env:   []string{},
		Files: append([]*os.File{null, stdout, stderr}, l.files...),
		Sys:   &syscall.SysProcAttr{Setpgid: true}, // a terminal's Ctrl-C is for us to act on
	}
	p.minders.Go(p.readStatus)
	started := make(chan error)
	go func() {
		// The kernel ties --die-with-parent to the thread that forked, so this one stays until
		// the launcher has ended; and it loses its ambient capabilities, which are not for it.
		runtime.LockOSThread()
		_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
		// What we inherited without close-on-exec is nobody's business in there.
		_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
		launcher, err := os.StartProcess(l.path, l.argv, attr)
		p.launcher = launcher
		started <- err
		if err == nil {
			p.reap()
		}
	}()
	return <-started
}

// forceAfter is how long a helper, which a process of the same user may have stopped, has to act.
const forceAfter = 3 * time.Second

// endByForce does the helper's work from outside.
func (p *Process) endByForce() {
	for _, pid := range descendants(p.launcher.Pid) {
		if pid > 1 {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// A greeting is a launcher's first word.
type greeting struct {
	PID   int    `json:"child-pid"`
	Error string `json:"error"`
}

// admit puts the waiting child under its limits and lets it go.
func (p *Process) admit(c *Command) error {
	hello := <-p.hello
	if hello.Error != "" {
		return errors.New(hello.Error)
	}
	fd, err := unix.PidfdOpen(hello.PID, 0)
	if err != nil {
		return fmt.Errorf("pidfd: %w", err)
	}
	p.mu.Lock()
	p.initPID, p.initFD = hello.PID, fd
	p.mu.Unlock()
	if err := p.group.join(hello.PID); err != nil {
		return err
	}
	if err := p.host.limitProcess(hello.PID, c); err != nil {
		return err
	}
	if _, err := p.wire.block.Write([]byte{1}); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

// readStatus takes all that the launcher says, until it is gone.
func (p *Process) readStatus() {
	p.exit.Code = -1
	words := json.NewDecoder(p.wire.status)
	var hello greeting
	if words.Decode(&hello) != nil {
		hello.Error = "no sandbox came up"
	}
	p.hello <- hello
	for {
		var last struct {
			Code  *int   `json:"exit-code"`
			Error string `json:"error"`
		}
		if words.Decode(&last) != nil {
			return
		}
		if last.Code != nil && p.exit.Code < 0 { // the first word counts
			p.exit.Code = *last.Code
		}
		if last.Error != "" {
			p.exit.Err = errors.New(last.Error)
		}
	}
}

// Kill ends the whole tree. It returns at once and may be called again; Wait says when it is done.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	if !p.killed {
		p.seenCPU = max(p.seenCPU, p.use().cpu)
	}
	p.killed = true
	if p.host.Level != Isolated {
		p.wire.block.Close() // the helper takes it as the order to end the tree
		p.force.Reset(forceAfter)
		return
	}
	if p.initFD >= 0 {
		_ = unix.PidfdSendSignal(p.initFD, unix.SIGKILL, nil, 0)
	}
	_ = p.launcher.Kill()
}

// over kills the tree because a limit that we watch was passed.
func (p *Process) over(limit string) {
	p.mu.Lock()
	if p.overflow == "" {
		p.overflow = limit
	}
	p.mu.Unlock()
	p.Kill()
}

// Wait returns once nothing of the tree is left, background and daemonized processes included.
func (p *Process) Wait() Exit {
	<-p.done
	return p.exit
}

// reap waits for the launcher and for all that it started, and closes done.
func (p *Process) reap() {
	state, err := p.launcher.Wait()
	<-p.admitted
	p.mu.Lock()
	fd := p.initFD
	p.initFD = -1
	p.mu.Unlock()

	var used unix.Rusage
	if fd >= 0 {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		awaitDeath(fd, &used)
		unix.Close(fd)
	}
	p.group.killAll()
	p.mu.Lock()
	p.ended = true
	p.force.Stop()
	p.mu.Unlock()
	close(p.stop)
	p.out.finish()
	p.minders.Wait()
	p.conclude(state, err, used)
	p.release()
	p.exit.Wall = time.Since(p.started)
	close(p.done)
}

// awaitDeath returns when the process behind a pidfd is gone. For the first process of a pid
// namespace that is when the whole namespace is. used is filled when we are the one to reap it;
// otherwise the launcher did, and its own account includes it.
func awaitDeath(fd int, used *unix.Rusage) {
	for {
		err := unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED, used)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// conclude works out how the command ended.
func (p *Process) conclude(state *os.ProcessState, waitErr error, used unix.Rusage) {
	p.mu.Lock() // watchdogs are gone by now, but an ending context may still call Kill
	defer p.mu.Unlock()
	e := &p.exit
	e.OOM = p.group.oom() || p.overflow == "memory"
	e.Overflow = p.overflow
	e.CPU, e.MaxRSS = account(used)
	if waitErr == nil {
		if launcher, ok := state.SysUsage().(*syscall.Rusage); ok {
			cpu, rss := account(unix.Rusage{Utime: unix.Timeval(launcher.Utime), Stime: unix.Timeval(launcher.Stime), Maxrss: launcher.Maxrss})
			e.CPU, e.MaxRSS = e.CPU+cpu, max(e.MaxRSS, rss)
		}
	}
	// The account of whoever reaped them lacks processes that died with their pid namespace. A
	// cgroup's is complete; without one, what we saw before the end is the better of the two.
	if total, ok := p.group.cpuTime(); ok {
		e.CPU = total
	}
	e.CPU = max(e.CPU, p.seenCPU)
	switch {
	case e.Code >= 0:
	case p.killed || e.OOM:
		e.Code = 128 + int(unix.SIGKILL)
	case strings.Contains(p.out.said(), "bwrap: execvp "):
		e.Code = 127 // as a shell says it: the command is the one at fault
	case waitErr != nil:
		e.Err = fmt.Errorf("wait for the sandbox: %w", waitErr)
	case e.Err == nil:
		e.Err = fmt.Errorf("the sandbox ended before its command (%v): %s", state, p.out.said())
	}
	if signal := syscall.Signal(e.Code - 128); signal > 0 && signal < 65 {
		e.Signal = signal.String()
	}
}

// account gives processor time, and bytes of the largest process, of a reaped process and its own.
func account(u unix.Rusage) (cpu time.Duration, rss int64) {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Maxrss << 10 // the kernel counts KiB
}

// release gives back what the sandbox held outside itself.
func (p *Process) release() {
	closeAll(p.wire.block, p.wire.status)
	p.group.remove()
	if p.cleanup != nil {
		p.cleanup()
	}
}

func saidError(said string) error {
	if said == "" {
		return nil
	}
	return errors.New(said)
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
